"""A program written for OpenAI's fine-tuning API follows a job of ours, by the library that it uses there."""

from typing import Any

import httpx
import openai
import pytest

from contract.job import JobState
from service import alias

pytestmark = pytest.mark.anyio


@pytest.fixture
async def theirs(client: httpx.AsyncClient) -> openai.AsyncOpenAI:
    """Their client, as strict about types as it can be."""
    return openai.AsyncOpenAI(base_url="http://test/v1", api_key="x", http_client=client, max_retries=0, _strict_response_validation=True)


async def test_a_job_is_followed_to_its_end(theirs: openai.AsyncOpenAI, hands: Any, job_id: str) -> None:
    follow = theirs.fine_tuning.jobs
    assert (await follow.retrieve(job_id)).status == "queued"
    lease = hands.claim(job_id)
    assert (await follow.retrieve(job_id)).status == "running"
    hands.epoch(lease, 1, **{"val.loss": 0.5})
    hands.checkpoint(lease, 1, 0.5)
    hands.epoch(lease, 2, **{"val.loss": float("nan")})
    hands.checkpoint(lease, 2, float("nan"))
    hands.succeed(lease)
    job = await follow.retrieve(job_id)
    assert (job.status, job.id, job.object, job.training_file, job.model) == (
        "succeeded",
        job_id,
        "fine_tuning.job",
        "fake",
        "tutorial_cnn",
    )
    assert job.finished_at is not None
    assert job.finished_at >= job.created_at > 1_700_000_000
    assert job.result_files == [f"/v1/jobs/{job_id}/result"]
    told = [event.message async for event in await follow.list_events(job_id, limit=2)]
    assert len(told) > 3
    assert told[0].startswith("succeeded")
    assert "queued" in told[-1]
    kept = [found async for found in await follow.checkpoints.list(job_id, limit=1)]
    assert [found.step_number for found in kept] == [20, 10]
    assert kept[1].metrics.valid_loss == 0.5
    assert job.fine_tuned_model in {found.id for found in kept}


async def test_pages_of_jobs_hold_each_once_newest_first(theirs: openai.AsyncOpenAI, client: httpx.AsyncClient) -> None:
    made = [(await client.post("/v1/jobs", json={"metadata": {"n": str(n)}})).json()["id"] for n in range(5)]
    assert [job.id async for job in await theirs.fine_tuning.jobs.list(limit=2)] == made[::-1]
    page = await theirs.fine_tuning.jobs.list(after=made[1])
    assert ([job.id for job in page.data], page.has_more) == ([made[0]], False)


async def test_a_failure_is_told(theirs: openai.AsyncOpenAI, hands: Any, job_id: str) -> None:
    hands.fail(hands.claim(job_id))
    job = await theirs.fine_tuning.jobs.retrieve(job_id)
    assert (job.status, job.fine_tuned_model, job.result_files) == ("failed", None, [])
    assert job.error is not None
    assert (job.error.code, job.error.message) == ("diverged", "loss became nan at step 3; try a lower lr")


async def test_a_job_is_paused_resumed_and_cancelled(theirs: openai.AsyncOpenAI, job_id: str) -> None:
    # `paused` came later than their types.
    lenient = theirs.copy(_extra_kwargs={"_strict_response_validation": False}).fine_tuning.jobs
    assert (await lenient.pause(job_id)).status == "paused"
    assert (await lenient.resume(job_id)).status == "queued"
    cancelled = await theirs.fine_tuning.jobs.cancel(job_id)
    assert cancelled.status == "cancelled"
    assert (await theirs.fine_tuning.jobs.cancel(job_id)).finished_at == cancelled.finished_at


async def test_a_job_that_is_on_its_way_to_be_cancelled_runs(theirs: openai.AsyncOpenAI, hands: Any, job_id: str) -> None:
    hands.claim(job_id)
    assert (await theirs.fine_tuning.jobs.cancel(job_id)).status == "running"


async def test_errors_raise_the_classes_that_are_caught_there(theirs: openai.AsyncOpenAI, hands: Any, job_id: str) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        await theirs.fine_tuning.jobs.retrieve("job_" + "0" * 26)
    assert missing.value.code == "not_found"
    hands.fail(hands.claim(job_id))
    with pytest.raises(openai.ConflictError) as refused:
        await theirs.fine_tuning.jobs.cancel(job_id)
    assert refused.value.response.json()["detail"] == f"job {job_id} has failed and cannot be cancelled"
    assert str(refused.value) == f"Error code: 409 - job {job_id} has failed and cannot be cancelled"
    with pytest.raises(openai.UnprocessableEntityError):
        await theirs.fine_tuning.jobs.list(limit=1000)
    for after in ("job_x", "..."):
        with pytest.raises(openai.UnprocessableEntityError):
            await theirs.fine_tuning.jobs.list(after=after)


@pytest.mark.parametrize("state", JobState)
async def test_every_state_has_a_word_there(state: JobState) -> None:
    assert alias.STATUS[state] in {"queued", "running", "paused", "succeeded", "failed", "cancelled"}

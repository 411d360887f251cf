"""What a client sees of its jobs, one by one and in lists, and what a cancel does."""

import asyncio
import base64
import json

import httpx
import pytest

from contract.job import TERMINAL, JobState

pytestmark = pytest.mark.anyio


async def submitted(client: httpx.AsyncClient, count: int) -> list[str]:
    return [(await client.post("/v1/jobs", json={"dataset": {"kind": "fake"}, "priority": i % 3})).json()["id"] for i in range(count)]


async def test_a_running_job_shows_what_its_worker_reports(client: httpx.AsyncClient, hands, job_id: str) -> None:
    lease = hands.claim(job_id)
    hands.step(lease, 5, **{"train.loss": float("nan"), "samples_per_second": 45.0})
    job = (await client.get(f"/v1/jobs/{job_id}")).json()
    assert job["status"] == "running"
    assert job["queue"] is None
    assert job["attempt"] == 1
    assert job["latest_metrics"] == {"train.loss": "NaN", "samples_per_second": 45.0}
    # 2 epochs of 90 rows, a quarter of the steps done, at 45 rows a second.
    assert job["progress"] == {"epoch": 0, "epochs": 2, "step": 5, "steps": 20, "fraction": 0.25, "seconds_remaining": 3.0}
    assert job["dataset"]["train_rows"] == 90
    assert job["machine"]["device"] == "cpu"
    moves = [(move["from"], move["to"], move["actor"]) for move in job["status_transitions"]]
    assert moves == [(None, "queued", "client"), ("queued", "running", "worker")]


async def test_a_failed_job_says_why_and_what_to_do(client: httpx.AsyncClient, hands, job_id: str) -> None:
    hands.fail(hands.claim(job_id))
    job = (await client.get(f"/v1/jobs/{job_id}")).json()
    assert job["error"] == {"code": "diverged", "message": "loss became nan at step 3", "hint": "try a lower lr", "retryable": False}
    assert job["finished_at"].endswith("Z")


async def test_a_job_of_higher_priority_is_ahead_in_the_queue(client: httpx.AsyncClient) -> None:
    low = (await client.post("/v1/jobs", json={})).json()["id"]
    high = (await client.post("/v1/jobs", json={"priority": 5})).json()
    assert high["queue"] == {"position": 1, "jobs_ahead": 0, "estimated_wait_seconds": None, "waits_for": None}
    assert (await client.get(f"/v1/jobs/{low}")).json()["queue"] == {
        "position": 2,
        "jobs_ahead": 1,
        "estimated_wait_seconds": None,
        "waits_for": None,
    }


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
async def test_pages_show_every_job_once_newest_first(client: httpx.AsyncClient, limit: int) -> None:
    ids, seen, cursor = await submitted(client, 7), [], None
    while True:
        page = (await client.get("/v1/jobs", params={"limit": limit} | ({"cursor": cursor} if cursor else {}))).json()
        seen += [job["id"] for job in page["data"]]
        assert page["has_more"] == (page["next_cursor"] is not None)
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == sorted(ids, reverse=True)


async def test_a_list_can_be_filtered_by_several_statuses(client: httpx.AsyncClient, hands) -> None:
    queued, running, cancelled = await submitted(client, 3)
    hands.claim(running)
    await client.post(f"/v1/jobs/{cancelled}/cancel")
    page = await client.get("/v1/jobs", params={"status": ["running", "cancelled"]})
    assert {job["id"] for job in page.json()["data"]} == {running, cancelled}
    assert queued not in page.text


def encoded(document: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")


HUGE = "A" * 5000
BAD_CURSORS = ["", "x", "é", "%00", "\0", HUGE, encoded([]), encoded(["job_x", []]), encoded([None, []]), encoded({}), encoded([["a"], {}])]
BAD_CURSORS += [encoded(["job_" + "0" * 26 + "\n", []]), encoded(["job_" + "0" * 26, ["queued"]]), encoded(7), "[" * 900, "====", "AA=A"]


@pytest.mark.parametrize("cursor", BAD_CURSORS, ids=range(len(BAD_CURSORS)))
async def test_a_cursor_that_no_list_gave_out_is_a_400(client: httpx.AsyncClient, cursor: str) -> None:
    reply = await client.get("/v1/jobs", params={"cursor": cursor})
    assert (reply.status_code, reply.json()["code"]) == (400, "bad_cursor")


async def test_a_cursor_holds_for_its_own_filters_only(client: httpx.AsyncClient) -> None:
    await submitted(client, 2)
    cursor = (await client.get("/v1/jobs", params={"limit": 1, "status": "queued"})).json()["next_cursor"]
    assert (await client.get("/v1/jobs", params={"cursor": cursor, "status": "queued"})).status_code == 200
    assert (await client.get("/v1/jobs", params={"cursor": cursor})).status_code == 400


async def test_cancelling_twice_is_harmless_and_says_which_call_did_it(client: httpx.AsyncClient, job_id: str) -> None:
    first, second = [await client.post(f"/v1/jobs/{job_id}/cancel") for _ in range(2)]
    assert (first.status_code, second.status_code) == (202, 200)
    assert first.json()["status"] == second.json()["status"] == "cancelled"


async def test_cancelling_a_running_job_asks_its_worker(client: httpx.AsyncClient, hands, job_id: str) -> None:
    hands.claim(job_id)
    replies = [await client.post(f"/v1/jobs/{job_id}/cancel") for _ in range(2)]
    assert [(reply.status_code, reply.json()["status"]) for reply in replies] == [(202, "cancelling"), (200, "cancelling")]


@pytest.mark.parametrize("end", ["succeed", "fail"])
async def test_a_job_that_ended_otherwise_cannot_be_cancelled(client: httpx.AsyncClient, hands, job_id: str, end: str) -> None:
    getattr(hands, end)(hands.claim(job_id))
    reply = await client.post(f"/v1/jobs/{job_id}/cancel")
    assert (reply.status_code, reply.json()["code"]) == (409, "state_conflict")


async def test_of_many_cancels_at_once_one_is_the_mover(client: httpx.AsyncClient, job_id: str) -> None:
    replies = await asyncio.gather(*(client.post(f"/v1/jobs/{job_id}/cancel") for _ in range(8)))
    assert sorted(reply.status_code for reply in replies) == [200] * 7 + [202]


@pytest.mark.parametrize("state", sorted(TERMINAL - {JobState.SUCCEEDED}))
async def test_a_job_that_ended_without_a_result_says_why(client: httpx.AsyncClient, hands, job_id: str, state: JobState) -> None:
    if state is JobState.FAILED:
        hands.fail(hands.claim(job_id))
    else:
        await client.post(f"/v1/jobs/{job_id}/cancel")
    problem = (await client.get(f"/v1/jobs/{job_id}/result")).json()
    assert (problem["status"], problem["code"]) == (409, "no_result")
    assert ("diverged" if state is JobState.FAILED else "cancelled") in problem["detail"]


async def test_the_result_is_there_once_the_job_has_succeeded(client: httpx.AsyncClient, hands, job_id: str) -> None:
    lease = hands.claim(job_id)
    early = (await client.get(f"/v1/jobs/{job_id}/result")).json()
    hands.succeed(lease)
    result = (await client.get(f"/v1/jobs/{job_id}/result")).json()
    assert (early["status"], early["code"]) == (409, "not_finished")
    assert (result["object"], result["job_id"]) == ("training.result", job_id)
    assert result["metrics"] == {"test.accuracy": 0.9, "test.loss": "Infinity"}

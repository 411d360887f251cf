"""Checkpoints that a client pins, deletes and sorts: never against what a job still needs."""

import math
from typing import Any

import httpx
import pytest

from contract.store import checkpoints

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["/v1/checkpoints/{id}", "/v1/jobs/{job}/checkpoints/{id}"])
def path(request: pytest.FixtureRequest) -> str:
    """Both ways to name a checkpoint."""
    return str(request.param)


async def ids(client: httpx.AsyncClient, job_id: str, sort: str | None = None) -> list[str]:
    page = await client.get(f"/v1/jobs/{job_id}/checkpoints", params={"sort": sort} if sort else {})
    return [one["id"] for one in page.json()["data"]]


async def test_a_pinned_checkpoint_outlives_the_policy_until_it_is_let_go(
    client: httpx.AsyncClient, hands: Any, job_id: str, path: str
) -> None:
    lease = hands.claim(job_id)
    hands.checkpoint(lease, 1, 0.9)
    first = (await ids(client, job_id))[0]
    where = path.format(id=first, job=job_id)
    for _ in range(2):
        reply = await client.patch(where, json={"pinned": True})
        assert (reply.status_code, reply.json()["pinned"]) == (200, True)
    for epoch in range(2, 6):
        hands.checkpoint(lease, epoch, 0.9 - epoch / 10)
    assert first in await ids(client, job_id)
    let_go = await client.patch(where, json={"pinned": False}, headers={"Content-Type": "application/merge-patch+json"})
    assert let_go.json()["pinned"] is False
    hands.checkpoint(lease, 6, 0.1)
    assert first not in await ids(client, job_id)
    assert (await client.patch(where, json={"pinned": True})).status_code == 410


async def test_a_checkpoint_is_deleted_and_its_bytes_follow(client: httpx.AsyncClient, hands: Any, job_id: str, path: str) -> None:
    lease = hands.claim(job_id)
    for epoch in (1, 2):
        hands.checkpoint(lease, epoch, 1 / epoch)
    newest, oldest = await ids(client, job_id)
    where = path.format(id=oldest, job=job_id)
    assert (await client.get(where)).json()["epoch"] == 1
    reply = await client.delete(where)
    assert (reply.status_code, reply.content) == (204, b"")
    assert await ids(client, job_id) == [newest]
    assert (await client.delete(where)).status_code == 410
    assert [purged for purged, _ in checkpoints.to_purge(hands.store)] == [oldest]


async def test_a_pinned_checkpoint_is_not_deleted(client: httpx.AsyncClient, hands: Any, job_id: str, path: str) -> None:
    lease = hands.claim(job_id)
    hands.checkpoint(lease, 1, 0.5)
    hands.succeed(lease)
    where = path.format(id=(await ids(client, job_id))[0], job=job_id)
    await client.patch(where, json={"pinned": True})
    reply = await client.delete(where)
    assert (reply.status_code, reply.json()["code"]) == (409, "state_conflict")
    await client.patch(where, json={"pinned": False})
    assert (await client.delete(where)).status_code == 204


async def test_what_a_job_goes_on_from_is_not_deleted_before_it_has_ended(
    client: httpx.AsyncClient, hands: Any, job_id: str, path: str
) -> None:
    lease = hands.claim(job_id)
    hands.checkpoint(lease, 1, 0.5)
    where = path.format(id=(await ids(client, job_id))[0], job=job_id)
    assert (await client.delete(where)).status_code == 409
    hands.succeed(lease)
    assert (await client.delete(where)).status_code == 204
    assert (await client.get(where)).status_code == 410


async def test_the_name_of_a_best_checkpoint_that_was_deleted_is_the_name_of_nothing(
    client: httpx.AsyncClient, hands: Any, job_id: str
) -> None:
    lease = hands.claim(job_id)
    for epoch, loss in ((1, 0.1), (2, 0.5)):
        hands.checkpoint(lease, epoch, loss)
    hands.succeed(lease)
    last, best = await ids(client, job_id)
    below = f"/v1/jobs/{job_id}/checkpoints"
    assert (await client.delete(f"{below}/best")).status_code == 204
    for path in (f"{below}/best", f"{below}/best/files/model.safetensors", f"/v1/jobs/{job_id}/plots/filters.png"):
        reply = await client.get(path)
        assert (reply.status_code, reply.json()["code"]) == (404, "not_found")
        assert f"{best}, written after epoch 1, was deleted" in reply.json()["detail"]
    assert (await client.get(f"{below}/{best}")).status_code == 410
    assert (await client.get(f"{below}/last")).json()["id"] == last, "the other one is left, and is called what it was called"
    assert [one["aliases"] for one in (await client.get(below)).json()["data"]] == [["last"]]


async def test_what_another_job_begins_from_is_not_deleted(client: httpx.AsyncClient, hands: Any, job_id: str, path: str) -> None:
    lease = hands.claim(job_id)
    hands.checkpoint(lease, 2, 0.5)
    hands.succeed(lease)
    child = (await client.post(f"/v1/jobs/{job_id}/extend", json={"epochs": 1})).json()["id"]
    where = path.format(id=(await ids(client, job_id))[0], job=job_id)
    assert (await client.delete(where)).status_code == 409
    await client.post(f"/v1/jobs/{child}/cancel")
    assert (await client.delete(where)).status_code == 409, "the job that was cancelled can still be retried"
    assert (await client.delete(f"/v1/jobs/{child}")).status_code == 204
    assert (await client.delete(where)).status_code == 204


async def test_an_extension_goes_on_from_the_last_checkpoint_that_is_left_and_from_none_is_refused(
    client: httpx.AsyncClient, hands: Any, job_id: str
) -> None:
    """It would be trained from its start, and name a checkpoint that is gone as its beginning."""
    lease = hands.claim(job_id)
    for epoch in (1, 2):
        hands.checkpoint(lease, epoch, 0.5)
    hands.succeed(lease)
    last, before = await ids(client, job_id)
    assert (await client.delete(f"/v1/checkpoints/{last}")).status_code == 204
    child = (await client.post(f"/v1/jobs/{job_id}/extend", json={"epochs": 1})).json()
    assert child["parent"]["checkpoint_id"] == before
    await client.post(f"/v1/jobs/{child['id']}/cancel")
    await client.delete(f"/v1/jobs/{child['id']}")
    assert (await client.delete(f"/v1/checkpoints/{before}")).status_code == 204
    reply = await client.post(f"/v1/jobs/{job_id}/extend", json={"epochs": 1})
    assert (reply.status_code, reply.json()["code"]) == (409, "state_conflict")
    assert "has no checkpoint to go on from; submit its spec with more epochs" in reply.json()["detail"]


async def test_a_retry_without_a_checkpoint_that_is_left_says_that_it_begins_anew(
    client: httpx.AsyncClient, hands: Any, job_id: str
) -> None:
    lease = hands.claim(job_id)
    hands.checkpoint(lease, 1, 0.5)
    hands.fail(lease)
    (only,) = await ids(client, job_id)
    assert (await client.delete(f"/v1/checkpoints/{only}")).status_code == 204
    retried = (await client.post(f"/v1/jobs/{job_id}/retry")).json()
    assert (retried["parent"]["checkpoint_id"], retried["best"]) == (None, None)


async def test_a_retry_goes_on_from_where_the_job_itself_began_once_its_own_checkpoints_are_gone(
    client: httpx.AsyncClient, hands: Any, job_id: str
) -> None:
    lease = hands.claim(job_id)
    hands.checkpoint(lease, 1, 0.5)
    hands.fail(lease)
    (began,) = await ids(client, job_id)
    second = (await client.post(f"/v1/jobs/{job_id}/retry")).json()["id"]
    lease = hands.claim(second)
    hands.checkpoint(lease, 2, 0.6)
    hands.fail(lease)
    (own,) = await ids(client, second)
    assert (await client.delete(f"/v1/checkpoints/{own}")).status_code == 204
    third = (await client.post(f"/v1/jobs/{second}/retry")).json()
    assert third["parent"]["checkpoint_id"] == began


async def test_a_retry_is_asked_for_twice_also_when_what_it_began_from_is_gone(client: httpx.AsyncClient, hands: Any, job_id: str) -> None:
    lease = hands.claim(job_id)
    hands.checkpoint(lease, 1, 0.5)
    hands.fail(lease)
    (began,) = await ids(client, job_id)
    retried = (await client.post(f"/v1/jobs/{job_id}/retry")).json()["id"]
    hands.checkpoint(hands.claim(retried), 2, 0.4)
    assert (await client.delete(f"/v1/checkpoints/{began}")).status_code == 204
    again = await client.post(f"/v1/jobs/{job_id}/retry")
    assert (again.status_code, again.json()["id"]) == (200, retried)


@pytest.mark.parametrize(
    ("sort", "epochs"),
    [
        (None, [6, 5, 4, 3, 2, 1]),
        ("val.loss", [4, 6, 2, 3, 5, 1]),
        ("-val.loss", [5, 3, 6, 2, 4, 1]),
        ("epoch", [1, 2, 3, 4, 5, 6]),
        ("-step", [6, 5, 4, 3, 2, 1]),
        ("no.such", [6, 5, 4, 3, 2, 1]),
    ],
)
async def test_checkpoints_are_sorted_by_any_metric_with_those_that_have_none_last(
    client: httpx.AsyncClient, hands: Any, sort: str | None, epochs: list[int]
) -> None:
    spec = {"dataset": {"kind": "fake"}, "checkpoints": {"keep_last": 10}}
    job_id = (await client.post("/v1/jobs", json=spec)).json()["id"]
    lease = hands.claim(job_id)
    for epoch, loss in enumerate((math.nan, 0.2, 0.7, -math.inf, math.inf, 0.2), 1):
        hands.checkpoint(lease, epoch, loss)
    page = await client.get(f"/v1/jobs/{job_id}/checkpoints", params={"sort": sort} if sort else {})
    assert [one["epoch"] for one in page.json()["data"]] == epochs


@pytest.mark.parametrize("body", [{}, {"pinned": "yes"}, {"pinned": 1}, {"pinned": True, "name": "x"}, []])
async def test_a_patch_that_is_none_is_refused(client: httpx.AsyncClient, hands: Any, job_id: str, path: str, body: Any) -> None:
    hands.checkpoint(hands.claim(job_id), 1, 0.5)
    where = path.format(id=(await ids(client, job_id))[0], job=job_id)
    assert (await client.patch(where, json=body)).status_code == 422


@pytest.mark.parametrize("name", ["ckpt_01kaj3v2m4n5p6q7r8s9t0v1w2", "ckpt_x", "best", "%00"])
async def test_a_checkpoint_that_there_is_not_is_not_found(standing: httpx.AsyncClient, name: str) -> None:
    for method in ("GET", "PATCH", "DELETE"):
        reply = await standing.request(method, f"/v1/checkpoints/{name}", json={"pinned": True} if method == "PATCH" else None)
        assert reply.status_code == 404


async def test_a_sort_that_is_no_name_is_refused(standing: httpx.AsyncClient, standing_job: str) -> None:
    for sort in ("", "-", "a b", "x" * 200, "val.loss,lr"):
        assert (await standing.get(f"/v1/jobs/{standing_job}/checkpoints", params={"sort": sort})).status_code == 422

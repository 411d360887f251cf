"""Many jobs at once: cancelled, deleted, compared, and how long they wait."""

from typing import Any

import httpx
import pytest

from contract import comparison
from contract.comparison import ABSENT
from contract.store import workers
from service import forecast
from service.app import create_app
from tests.service.conftest import Hands
from tests.service.test_lifecycle_routes import made

pytestmark = pytest.mark.anyio

UNKNOWN = "job_" + "0" * 26


async def test_each_job_of_a_batch_is_told_apart_and_none_stops_the_others(client: httpx.AsyncClient, hands: Hands) -> None:
    queued, running, ended = [await made(client, hands, state) for state in ("queued", "running", "succeeded")]
    body = {"ids": [ended, UNKNOWN, queued, running, queued]}
    reply = await client.post("/v1/jobs/cancel", json=body)
    told = [(one["id"], one["status"], one["job_status"], (one["problem"] or {}).get("code")) for one in reply.json()["data"]]
    assert told == [
        (ended, 409, None, "state_conflict"),
        (UNKNOWN, 404, None, "not_found"),
        (queued, 202, "cancelled", None),
        (running, 202, "cancelling", None),
    ]
    again = (await client.post("/v1/jobs/cancel", json={"ids": [queued]})).json()["data"]
    assert [(one["status"], one["job_status"]) for one in again] == [(200, "cancelled")]


async def test_a_batch_can_mean_all_that_pass_a_filter(client: httpx.AsyncClient, hands: Hands) -> None:
    mine = [await made(client, hands, "queued", metadata={"sweep": "7"}) for _ in range(3)]
    other = await made(client, hands, "queued")
    cancelled = (await client.post("/v1/jobs/cancel", json={"label": {"sweep": "7"}})).json()
    assert ({one["id"] for one in cancelled["data"]}, cancelled["has_more"]) == (set(mine), False)
    deleted = (await client.post("/v1/jobs/delete", json={"status": ["cancelled"]})).json()["data"]
    assert {(one["id"], one["status"]) for one in deleted} == {(job_id, 204) for job_id in mine}
    assert [job["id"] for job in (await client.get("/v1/jobs")).json()["data"]] == [other]


async def test_a_filter_that_holds_for_more_than_a_batch_says_so(
    client: httpx.AsyncClient, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.actions.MAX_CHOSEN", 2)
    for _ in range(3):
        await made(client, hands, "queued")
    replies = [(await client.post("/v1/jobs/cancel", json={"status": ["queued"]})).json() for _ in range(2)]
    assert [(len(reply["data"]), reply["has_more"]) for reply in replies] == [(2, True), (1, False)]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"ids": []},
        {"ids": ["x"]},
        {"ids": [UNKNOWN] * 101},
        {"ids": [UNKNOWN], "status": ["queued"]},
        {"status": ["gone"]},
        {"label": {}},
    ],
)
async def test_a_batch_that_names_nothing_or_too_much_is_a_422(standing: httpx.AsyncClient, body: dict[str, Any]) -> None:
    for deed in ("cancel", "delete"):
        assert (await standing.post(f"/v1/jobs/{deed}", json=body)).status_code == 422


@pytest.mark.parametrize(
    ("documents", "found"),
    [
        ([{"a": 1, "b": 2}, {"a": 1, "b": 3}], [("/b", [2, 3])]),
        ([{"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}], [("/a/c", [2, ABSENT])]),
        ([{"a": [1, {"x/y": 2}]}, {"a": [1, {"x/y": 3}, 4]}], [("/a/1/x~1y", [2, 3]), ("/a/2", [ABSENT, 4])]),
        ([{"a": None}, {"a": {"b": 1}}, {"a": None}], [("/a", [None, {"b": 1}, None])]),
        ([{"a": 1}, {"a": True}], [("/a", [1, True])]),
        ([{"a": 1}, {"a": 1.0}], []),
    ],
)  # fmt: skip
def test_only_what_differs_is_told_and_where(documents: list[Any], found: list[Any]) -> None:
    assert list(comparison.differences(documents)) == found


async def test_a_comparison_of_one_job_is_refused_in_our_own_words(client: httpx.AsyncClient, job_id: str) -> None:
    (fault,) = (await client.get("/v1/compare", params={"ids": job_id})).json()["errors"]
    assert (fault["pointer"], fault["message"]) == ("/query/ids", "name 2 to 10 jobs, as ids=job_a,job_b; these are 1")


async def test_jobs_are_compared_by_spec_series_and_result(client: httpx.AsyncClient, hands: Hands) -> None:
    one, two = [await made(client, hands, "queued", seed=seed, name="same") for seed in (1, 2)]
    lease = hands.claim(one)
    for epoch in (1, 2):
        hands.epoch(lease, epoch, **{"val.loss": 1 / epoch, "other": 1.0})
    hands.succeed(lease)
    hands.epoch(hands.claim(two), 1, **{"val.loss": float("nan")})
    found = (await client.get("/v1/compare", params={"ids": f"{one},{two}"})).json()
    assert found["differences"] == [{"pointer": "/seed", "values": {one: 1, two: 2}}]
    assert found["series"] == [{"name": "val.loss", "epochs": [1, 2], "values": {one: [1.0, 0.5], two: ["NaN", None]}}]
    assert [(job["id"], job["status"]) for job in found["jobs"]] == [(one, "succeeded"), (two, "running")]
    assert (found["jobs"][0]["result"]["metrics"]["test.accuracy"], found["jobs"][0]["result"]["zeros"]) == (0.9, 3)
    assert found["jobs"][1]["result"] is None
    chosen = (await client.get("/v1/compare", params={"ids": [one, two], "names": ["other", "none"], "max_points": 1})).json()
    assert [(series["name"], series["epochs"]) for series in chosen["series"]] == [("other", [2])]


@pytest.mark.parametrize(
    ("ids", "status"),
    [
        ("", 422),
        (UNKNOWN, 422),
        (f"{UNKNOWN},{UNKNOWN}", 422),
        (f"{UNKNOWN},x", 404),
        ("x,y\x00", 404),
        (",".join(f"x{i}" for i in range(11)), 422),
    ],
)
async def test_a_comparison_is_of_two_to_ten_jobs_that_there_are(standing: httpx.AsyncClient, ids: str, status: int) -> None:
    assert (await standing.get("/v1/compare", params={"ids": ids})).status_code == status


async def test_the_queue_tells_how_much_waits_for_how_long_and_who_works(client: httpx.AsyncClient, hands: Hands) -> None:
    empty = (await client.get("/v1/queue")).json()
    assert (empty["queued"], empty["oldest_wait_seconds"], empty["estimated_wait_seconds"]) == (0, None, None)
    await made(client, hands, "queued", device="cuda")
    await made(client, hands, "running")
    hands.appear("busy")
    found = (await client.get("/v1/queue")).json()
    assert found["depths"] == [{"status": "queued", "device": "cuda", "jobs": 1}, {"status": "running", "device": "auto", "jobs": 1}]
    assert (found["queued"], found["workers"]) == (1, {"idle": 0, "busy": 1, "others": 0})
    assert found["oldest_wait_seconds"] >= 0


async def test_a_wait_is_estimated_by_how_long_such_jobs_took_and_by_the_workers_there(
    client: httpx.AsyncClient, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecast, "KEEP_SECONDS", -1.0)
    await made(client, hands, "succeeded")  # 2 epochs in 1.5 seconds
    hands.appear("busy")
    lease = hands.claim(await made(client, hands, "queued", epochs=10))
    hands.epoch(lease, 4)
    await made(client, hands, "queued", epochs=4)
    last = await made(client, hands, "queued", epochs=1)

    async def wait() -> float | None:
        queue = (await client.get(f"/v1/jobs/{last}")).json()["queue"]
        assert (queue["position"], queue["jobs_ahead"]) == (2, 1)
        estimate: float | None = queue["estimated_wait_seconds"]
        return estimate

    assert await wait() == (6 + 4) * 0.75
    workers.seen(hands.store, worker_id="worker-2", host="here", pid=2, state="busy", device="cpu", versions={})
    assert await wait() == pytest.approx((6 + 4) * 0.75 / 2, abs=0.05)
    for name in ("worker-3", "worker-4"):
        workers.seen(hands.store, worker_id=name, host="here", pid=2, state="idle", device="cpu", versions={})
    assert await wait() == 0


async def test_without_a_worker_or_anything_measured_no_wait_is_made_up(
    client: httpx.AsyncClient, hands: Hands, settings: Any, serve: Any
) -> None:
    await made(client, hands, "succeeded")
    job_id = await made(client, hands, "queued")
    assert (await client.get(f"/v1/jobs/{job_id}")).json()["queue"]["estimated_wait_seconds"] is None
    async with serve(create_app(settings)) as other:
        hands.appear("idle")
        assert (await other.get(f"/v1/jobs/{job_id}")).json()["queue"]["estimated_wait_seconds"] == 0


async def test_validating_tells_what_a_job_would_take_by_jobs_like_it(
    client: httpx.AsyncClient, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecast, "KEEP_SECONDS", -1.0)
    await made(client, hands, "succeeded")  # 2 epochs in 1.5 seconds
    spec = {"dataset": {"kind": "fake"}, "epochs": 8, "penalties": [{"kind": "l1", "lambda": 7.0, "warmup_epochs": 1}]}
    like, unlike = [(await client.post("/v1/jobs/validate", json=spec | more)).json() for more in ({}, {"model": {"kind": "linear"}})]
    assert like["duration"] == {"seconds": 6.0, "seconds_per_epoch": 0.75, "reason": None}
    assert (unlike["duration"]["seconds"], unlike["duration"]["seconds_per_epoch"]) == (None, None)
    assert "linear" in unlike["duration"]["reason"]
    assert [(told["pointer"], told["code"]) for told in like["warnings"]] == [("/penalties/0/lambda", "huge_lambda")]
    assert like["memory"]["total_bytes"] == sum(value for name, value in like["memory"].items() if name != "total_bytes")

"""What each action answers in each state of a job, and that asking again, or eight times at once, does what asking once does."""

import asyncio
from typing import Any

import httpx
import pytest

from contract.job import JobState
from contract.store import leases
from service.bell import Bell
from tests.service.conftest import MACHINE, RESULT, Hands
from tests.service.description import document

pytestmark = pytest.mark.anyio

SPEC = {"dataset": {"kind": "fake"}, "epochs": 2, "name": "first"}
CLASS = "torch 2.15.0, cpu, AVX2"
ACTIONS = {"cancel": {}, "pause": {}, "resume": {}, "retry": {}, "extend": {"json": {"epochs": 3}}, "clone": {}}
NEW = "a new job"
# What a job in this state answers to each action: the status, and the state that it is in then, or that a new job is.
ANSWERS: dict[str, dict[str, tuple[int, str]]] = {
    "queued": {"cancel": (202, "cancelled"), "pause": (202, "paused"), "resume": (200, "queued"), "retry": (409, ""), "extend": (409, ""), "clone": (201, NEW)},
    "running": {"cancel": (202, "cancelling"), "pause": (202, "pausing"), "resume": (200, "running"), "retry": (409, ""), "extend": (409, ""), "clone": (201, NEW)},
    "pausing": {"cancel": (202, "cancelling"), "pause": (200, "pausing"), "resume": (409, ""), "retry": (409, ""), "extend": (409, ""), "clone": (201, NEW)},
    "paused": {"cancel": (202, "cancelled"), "pause": (200, "paused"), "resume": (202, "queued"), "retry": (409, ""), "extend": (409, ""), "clone": (201, NEW)},
    "cancelling": {"cancel": (200, "cancelling"), "pause": (409, ""), "resume": (409, ""), "retry": (409, ""), "extend": (409, ""), "clone": (201, NEW)},
    "succeeded": {"cancel": (409, ""), "pause": (409, ""), "resume": (409, ""), "retry": (409, ""), "extend": (201, NEW), "clone": (201, NEW)},
    "failed": {"cancel": (409, ""), "pause": (409, ""), "resume": (409, ""), "retry": (202, NEW), "extend": (409, ""), "clone": (201, NEW)},
    "cancelled": {"cancel": (200, "cancelled"), "pause": (409, ""), "resume": (409, ""), "retry": (202, NEW), "extend": (409, ""), "clone": (201, NEW)},
}  # fmt: skip
PAIRS = [(state, action) for state in ANSWERS for action in ACTIONS]


async def made(client: httpx.AsyncClient, hands: Hands, state: str, **fields: Any) -> str:
    """A job in this state; one that was ever held has written a checkpoint."""
    job_id = str((await client.post("/v1/jobs", json=SPEC | fields)).json()["id"])
    if state in {"queued", "paused"}:
        if state == "paused":
            await client.post(f"/v1/jobs/{job_id}/pause")
        return job_id
    lease = hands.claim(job_id)
    hands.step(lease, 10)
    hands.checkpoint(lease, 1, 0.5)
    match state:
        case "pausing":
            await client.post(f"/v1/jobs/{job_id}/pause")
        case "cancelling":
            await client.post(f"/v1/jobs/{job_id}/cancel")
        case "cancelled":
            await client.post(f"/v1/jobs/{job_id}/cancel")
            leases.finish_cancel(hands.store, lease)
        case "succeeded":
            hands.succeed(lease)
        case "failed":
            hands.fail(lease)
    return job_id


async def act(client: httpx.AsyncClient, job_id: str, action: str) -> httpx.Response:
    return await client.post(f"/v1/jobs/{job_id}/{action}", **ACTIONS[action])


async def shown(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(f"/v1/jobs/{job_id}")).json()
    return found


async def count(client: httpx.AsyncClient) -> int:
    return len((await client.get("/v1/jobs", params={"limit": 100})).json()["data"])


def test_every_state_and_every_action_is_in_the_table() -> None:
    assert set(ANSWERS) == set(JobState)
    paths = document()["paths"]
    offered = {
        path.removeprefix("/v1/jobs/{job_id}/")
        for path, known in paths.items()
        if path.startswith("/v1/jobs/{job_id}/") and "post" in known
    }
    assert offered == set(ACTIONS)
    assert all(set(row) == set(ACTIONS) for row in ANSWERS.values())


@pytest.mark.parametrize(("state", "action"), PAIRS)
async def test_an_action_answers_by_the_state_of_the_job(client: httpx.AsyncClient, hands: Hands, state: str, action: str) -> None:
    job_id = await made(client, hands, state)
    before = await shown(client, job_id)
    assert before["status"] == state
    reply = await act(client, job_id, action)
    status, result = ANSWERS[state][action]
    after = await shown(client, job_id)
    assert reply.status_code == status, reply.text
    if status == 409:
        assert reply.json()["code"] == "state_conflict"
        assert job_id in reply.json()["detail"]
        assert after == before
    elif result == NEW:
        assert after == before
        assert (reply.json()["status"], reply.json()["parent"]["job_id"]) == ("queued", job_id)
        assert reply.headers["location"] == reply.json()["links"]["self"] != before["links"]["self"]
    else:
        assert after["status"] == reply.json()["status"] == result
        assert (after == before) == (status == 200)


@pytest.mark.parametrize(
    ("state", "action"), [pair for pair in PAIRS if pair[1] not in {"extend", "clone"} and ANSWERS[pair[0]][pair[1]][0] < 400]
)
async def test_the_same_action_again_is_a_200_that_changes_nothing(
    client: httpx.AsyncClient, hands: Hands, state: str, action: str
) -> None:
    job_id = await made(client, hands, state)
    first = await act(client, job_id, action)
    jobs = await count(client)
    again = await act(client, job_id, action)
    assert (again.status_code, again.json()) == (200, first.json())
    assert await count(client) == jobs


@pytest.mark.parametrize(("state", "action"), [("running", "pause"), ("paused", "resume"), ("failed", "retry"), ("cancelled", "retry")])
async def test_of_eight_that_ask_at_once_one_is_the_mover(client: httpx.AsyncClient, hands: Hands, state: str, action: str) -> None:
    job_id = await made(client, hands, state)
    jobs = await count(client)
    replies = await asyncio.gather(*(act(client, job_id, action) for _ in range(8)))
    assert sorted(reply.status_code for reply in replies) == [200] * 7 + [202]
    assert len({reply.json()["id"] for reply in replies}) == 1
    assert await count(client) == jobs + (action == "retry")


async def test_a_running_job_that_is_paused_rests_with_its_checkpoint_once_its_worker_gives_it_back(
    client: httpx.AsyncClient, hands: Hands, job_id: str
) -> None:
    lease = hands.claim(job_id)
    hands.step(lease, 3)
    await act(client, job_id, "pause")
    hands.checkpoint(lease, 1, 0.5)
    leases.release(hands.store, lease, "stopped on request")
    job = await shown(client, job_id)
    assert (job["status"], job["status_reason"], job["queue"]) == ("paused", "paused on request", None)
    resumed = (await act(client, job_id, "resume")).json()
    assert (resumed["status"], resumed["queue"]["waits_for"]) == ("queued", CLASS)
    moves = [(move["to"], move["actor"]) for move in resumed["status_transitions"]]
    assert moves == [("queued", "client"), ("running", "worker"), ("pausing", "client"), ("paused", "worker"), ("queued", "client")]


async def test_a_job_still_on_its_way_to_rest_is_resumed_later_and_the_refusal_says_so(client: httpx.AsyncClient, hands: Hands) -> None:
    reply = await act(client, await made(client, hands, "pausing"), "resume")
    assert "resume it once it is paused" in reply.json()["detail"]


async def test_jobs_that_wait_again_are_rung_for_and_no_others(
    client: httpx.AsyncClient, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused, failed, succeeded = [await made(client, hands, state) for state in ("paused", "failed", "succeeded")]
    rung: list[str] = []
    monkeypatch.setattr(Bell, "ring", lambda self, job_id: rung.append(job_id))
    new = {}
    for job_id, action in ((paused, "resume"), (failed, "retry"), (succeeded, "extend")):
        new[action] = (await act(client, job_id, action)).json()["id"]
    assert rung == [paused, new["retry"], new["extend"]]
    await act(client, paused, "resume")
    await act(client, failed, "retry")
    await act(client, paused, "pause")
    assert rung == [paused, new["retry"], new["extend"]]


async def test_a_retry_is_the_same_job_anew_from_the_last_checkpoint(client: httpx.AsyncClient, hands: Hands) -> None:
    failed = await shown(client, await made(client, hands, "failed"))
    last = (await client.get(f"{failed['links']['checkpoints']}/last")).json()["id"]
    retry = (await act(client, failed["id"], "retry")).json()
    assert (retry["spec"], retry["name"]) == (failed["spec"], "first")
    assert retry["parent"] == {"job_id": failed["id"], "relation": "retry", "checkpoint_id": last}
    assert retry["queue"]["waits_for"] == CLASS
    assert (retry["error"], retry["started_at"], retry["attempt"]) == (None, None, 0)
    assert retry["status_transitions"][0]["reason"] == retry["status_reason"] == f"retry of {failed['id']}"


@pytest.mark.parametrize("body", [{"begin": "start"}, {"resume": "anywhere"}], ids=["start", "anywhere"])
async def test_a_retry_can_begin_anew_or_go_on_anywhere(client: httpx.AsyncClient, hands: Hands, body: dict[str, str]) -> None:
    failed = await made(client, hands, "failed")
    retry = (await client.post(f"/v1/jobs/{failed}/retry", json=body)).json()
    assert retry["queue"]["waits_for"] is None
    assert (retry["parent"]["checkpoint_id"] is None) == ("begin" in body)
    assert retry["spec"]["checkpoints"]["resume"] == body.get("resume", "bitwise")


async def test_a_retry_asked_for_otherwise_than_the_one_there_is_is_refused_not_dropped(client: httpx.AsyncClient, hands: Hands) -> None:
    failed = await made(client, hands, "failed")
    first = (await act(client, failed, "retry")).json()
    for body in ({"resume": "anywhere"}, {"begin": "start"}):
        other = await client.post(f"/v1/jobs/{failed}/retry", json=body)
        assert (other.status_code, other.json()["code"]) == (409, "state_conflict")
        assert f"{first['id']} already" in other.json()["detail"]
        assert "cancel that one first" in other.json()["detail"]
    await act(client, first["id"], "cancel")
    assert (await client.post(f"/v1/jobs/{failed}/retry", json={"begin": "start"})).status_code == 202


async def test_an_extension_is_the_same_job_with_more_epochs_from_the_last_checkpoint(client: httpx.AsyncClient, hands: Hands) -> None:
    done = await shown(client, await made(client, hands, "succeeded"))
    longer = (await act(client, done["id"], "extend")).json()
    assert longer["spec"] == {**done["spec"], "epochs": 5}
    assert longer["progress"]["epochs"] == 5
    assert (longer["parent"]["relation"], longer["parent"]["checkpoint_id"]) == ("extension", done["best"]["checkpoint_id"])
    assert longer["queue"]["waits_for"] == CLASS


async def test_each_extension_is_a_job_of_its_own_unless_a_key_says_that_it_is_the_same(client: httpx.AsyncClient, hands: Hands) -> None:
    done = await made(client, hands, "succeeded")
    path, keyed = f"/v1/jobs/{done}/extend", {"Idempotency-Key": "k"}
    assert (await act(client, done, "extend")).json()["id"] != (await act(client, done, "extend")).json()["id"]
    replies = await asyncio.gather(*(client.post(path, json={"epochs": 4}, headers=keyed) for _ in range(8)))
    assert {reply.status_code for reply in replies} == {201}
    assert len({reply.json()["id"] for reply in replies}) == 1
    assert sum("idempotency-replayed" in reply.headers for reply in replies) == 7
    for other in (client.post(path, json={"epochs": 5}, headers=keyed), client.post("/v1/jobs", json=SPEC, headers=keyed)):
        assert (await other).json()["code"] == "idempotency_mismatch"


@pytest.mark.parametrize(
    ("reason", "fields", "told"),
    [
        ("epochs", {"polish": {"epochs": 1}, "penalties": [{"kind": "l1", "lambda": 1e-4}]}, "was polished"),
        ("early_stopping", {"early_stopping": {"patience": 1}}, "more patience"),
        ("tolerance", {"tolerance": {"gradient_mapping": 0.1}}, "a smaller one"),
    ],
)
async def test_a_job_that_more_epochs_mean_nothing_to_is_refused_with_the_reason_and_the_remedy(
    client: httpx.AsyncClient, hands: Hands, reason: str, fields: dict[str, Any], told: str
) -> None:
    job_id = await made(client, hands, "running", **fields)
    job = await shown(client, job_id)
    assert job["status"] == "running"
    leases.succeed(hands.store, leases.Lease(job_id, 1), RESULT | {"stop_reason": reason, "machine": MACHINE})
    reply = await act(client, job_id, "extend")
    assert (reply.status_code, reply.json()["code"]) == (409, "state_conflict")
    assert told in reply.json()["detail"]
    assert "submit its spec" in reply.json()["detail"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/epochs"), ({"epochs": 0}, "/epochs"), ({"epochs": 1.5}, "/epochs"), ({"epochs": True}, "/epochs"), ({"epochs": "1"}, "/epochs"),
        ({"epochs": 9_999}, "/epochs"), ({"epochs": 10**40}, "/epochs"), ({"epochs": 1, "epoch": 2}, "/epoch"), ([], ""), (7, ""),
    ],
)  # fmt: skip
async def test_an_extension_by_what_is_no_number_of_epochs_is_told_with_its_pointer(
    client: httpx.AsyncClient, hands: Hands, body: object, pointer: str
) -> None:
    reply = await client.post(f"/v1/jobs/{await made(client, hands, 'succeeded')}/extend", json=body)
    assert reply.status_code == 422, reply.text
    assert [fault["pointer"] for fault in reply.json()["errors"]] == [pointer]


@pytest.mark.parametrize(("body", "pointer"), [({"begin": "first"}, "/begin"), ({"resume": "never"}, "/resume"), ({"from": 1}, "/from")])
async def test_a_retry_of_a_kind_that_there_is_not_is_told_with_its_pointer(
    client: httpx.AsyncClient, hands: Hands, body: dict[str, object], pointer: str
) -> None:
    failed = await made(client, hands, "failed")
    reply = await client.post(f"/v1/jobs/{failed}/retry", json=body)
    assert (reply.status_code, reply.json()["code"]) == (422, "invalid_body")
    assert [fault["pointer"] for fault in reply.json()["errors"]] == [pointer]
    assert await count(client) == 1


@pytest.mark.parametrize(("content", "kind", "status"), [(b"{}", "text/plain", 415), (b"{", "application/json", 400), (b" ", "", 415)])
async def test_a_body_of_a_retry_that_cannot_be_read_is_refused(
    client: httpx.AsyncClient, hands: Hands, content: bytes, kind: str, status: int
) -> None:
    failed = await made(client, hands, "failed")
    reply = await client.post(f"/v1/jobs/{failed}/retry", content=content, headers={"Content-Type": kind})
    assert reply.status_code == status


async def test_a_paused_job_is_not_claimed_until_it_is_resumed(client: httpx.AsyncClient, hands: Hands) -> None:
    job_id = await made(client, hands, "paused")
    assert leases.claim(hands.store, "worker-1", "cpu", 60) is None
    await act(client, job_id, "resume")
    assert leases.claim(hands.store, "worker-1", "cpu", 60) is not None


async def test_the_links_of_a_job_lead_to_its_actions(client: httpx.AsyncClient, job_id: str) -> None:
    links = (await shown(client, job_id))["links"]
    assert {action: links[action] for action in ACTIONS} == {action: f"/v1/jobs/{job_id}/{action}" for action in ACTIONS}

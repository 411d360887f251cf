"""What a client that knows a job's ETag is spared, and what it can insist on; how long it may wait for a change."""

import asyncio
import threading
from typing import Any

import anyio
import httpx
import pytest
from fastapi import Request
from sqlalchemy import event, update

from contract.errors import StoreUnavailableError
from contract.settings import Settings
from contract.store import Store, jobs, sweep, tables
from service import etags, waiting
from service.app import create_app
from tests.service.conftest import Hands

pytestmark = pytest.mark.anyio

NEVER = {"Prefer": "wait=60"}


async def tag(client: httpx.AsyncClient, job_id: str) -> str:
    return str((await client.get(f"/v1/jobs/{job_id}")).headers["etag"])


async def test_the_etag_of_the_submission_is_that_of_the_job_and_spares_reading_it_again(client: httpx.AsyncClient) -> None:
    created = await client.post("/v1/jobs", json={"dataset": {"kind": "fake"}})
    known = {"If-None-Match": f'"other", W/{created.headers["etag"]}'}
    again = await client.get(created.headers["location"], headers=known)
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", created.headers["etag"])
    assert (await client.get(created.headers["location"], headers={"If-None-Match": '"other"'})).json() == created.json()


async def test_a_job_is_read_by_one_statement_and_its_history_by_another_only_where_a_body_is_made(
    settings: Settings, sqlite_store: Store, hands: Hands, serve: Any
) -> None:
    app, said = create_app(settings), []
    async with serve(app) as client:
        job_id = (await client.post("/v1/jobs", json={"dataset": {"kind": "fake"}})).json()["id"]
        hands.claim(job_id)
        known = await tag(client, job_id)
        event.listen(app.state.held.store.engine, "before_cursor_execute", lambda *sent: said.append(sent[2].split()[0]))
        first = await client.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": known})
        reads = said.count("SELECT")
        again = await client.get(f"/v1/jobs/{job_id}")
    assert (first.status_code, reads) == (304, 1)
    assert (again.status_code, said.count("SELECT") - reads) == (200, 2)


async def test_whatever_a_reply_shows_has_an_etag_of_its_own(client: httpx.AsyncClient, hands: Hands, job_id: str) -> None:
    seen = {await tag(client, job_id)}
    first = (await client.post("/v1/jobs", json={"priority": 9, "dataset": {"kind": "fake"}})).json()["id"]
    seen.add(await tag(client, job_id))  # another place in the queue, at the same version
    await client.post(f"/v1/jobs/{first}/cancel")
    lease = hands.claim(job_id)
    seen.add(await tag(client, job_id))
    hands.step(lease, 3, lr=0.1)
    seen.add(await tag(client, job_id))
    await client.patch(f"/v1/jobs/{job_id}", json={"name": "new"})
    seen.add(await tag(client, job_id))
    hands.fail(lease)
    seen.add(await tag(client, job_id))
    assert len(seen) == 6


async def test_a_bell_that_is_rung_again_is_no_change_to_who_knows_the_job_or_waits_for_one(
    client: httpx.AsyncClient, hands: Hands, job_id: str
) -> None:
    known = {"If-None-Match": await tag(client, job_id)}
    waiting_for = asyncio.create_task(client.get(f"/v1/jobs/{job_id}", headers={"Prefer": "wait=1", **known}))
    await asyncio.sleep(0.1)
    with hands.store.write() as connection:
        connection.execute(update(tables.jobs).values(next_ring_at=1.0))
    assert [job.id for job in await asyncio.to_thread(sweep.ring, hands.store)] == [job_id]
    assert (await waiting_for).status_code == 304
    assert (await client.get(f"/v1/jobs/{job_id}", headers=known)).status_code == 304


@pytest.mark.parametrize("action", ["cancel", "pause", "clone"])
async def test_every_reply_that_shows_a_job_bears_its_etag(client: httpx.AsyncClient, job_id: str, action: str) -> None:
    reply = await client.post(f"/v1/jobs/{job_id}/{action}")
    assert reply.headers["etag"] == await tag(client, reply.json()["id"])


@pytest.mark.parametrize("known", [True, False], ids=["from an etag", "from now"])
async def test_a_wait_ends_at_the_change(client: httpx.AsyncClient, hands: Hands, job_id: str, known: bool) -> None:
    headers = NEVER | ({"If-None-Match": await tag(client, job_id)} if known else {})
    waiting_for = asyncio.create_task(client.get(f"/v1/jobs/{job_id}", headers=headers))
    await asyncio.sleep(0.1)
    await asyncio.to_thread(hands.claim, job_id)
    reply = await waiting_for
    assert (reply.status_code, reply.json()["status"]) == (200, "running")
    assert reply.headers["preference-applied"] == "wait=60"


async def test_a_wait_that_hears_of_nothing_is_a_304_to_who_knows_the_job_and_the_job_to_others(
    client: httpx.AsyncClient, job_id: str
) -> None:
    known = {"Prefer": "respond-async, wait=1", "If-None-Match": await tag(client, job_id)}
    replies = await asyncio.gather(
        client.get(f"/v1/jobs/{job_id}", headers=known), client.get(f"/v1/jobs/{job_id}", headers={"Prefer": "wait=1"})
    )
    assert [reply.status_code for reply in replies] == [304, 200]
    assert {reply.headers["preference-applied"] for reply in replies} == {"wait=1"}


async def test_neither_what_changed_already_nor_what_has_ended_is_waited_for(client: httpx.AsyncClient, job_id: str) -> None:
    stale = await client.get(f"/v1/jobs/{job_id}", headers={**NEVER, "If-None-Match": '"of yesterday"'})
    await client.post(f"/v1/jobs/{job_id}/cancel")
    ended = await client.get(f"/v1/jobs/{job_id}", headers={**NEVER, "If-None-Match": await tag(client, job_id)})
    assert (stale.status_code, ended.status_code) == (200, 304)


async def test_forty_that_wait_leave_the_others_their_threads(client: httpx.AsyncClient, hands: Hands, job_id: str) -> None:
    all_waiting = [asyncio.create_task(client.get(f"/v1/jobs/{job_id}", headers=NEVER)) for _ in range(60)]
    await asyncio.sleep(0)
    assert (await client.get("/v1/jobs")).status_code == 200
    assert not any(one.done() for one in all_waiting)
    await client.post(f"/v1/jobs/{job_id}/cancel")
    assert {(await one).json()["status"] for one in all_waiting} == {"cancelled"}


async def test_a_wait_for_a_job_that_is_deleted_is_a_404(client: httpx.AsyncClient, job_id: str, hands: Hands) -> None:
    waiting_for = asyncio.create_task(client.get(f"/v1/jobs/{job_id}", headers=NEVER))
    await asyncio.sleep(0.1)
    hands.fail(hands.claim(job_id))
    await client.delete(f"/v1/jobs/{job_id}")
    # What it hears first is a matter of the moment.
    assert (await waiting_for).status_code in {200, 404}
    assert (await client.get(f"/v1/jobs/{job_id}", headers=NEVER)).status_code == 404


async def test_a_wait_ends_with_the_service(client: httpx.AsyncClient, job_id: str) -> None:
    waiting_for = asyncio.create_task(client.get(f"/v1/jobs/{job_id}", headers=NEVER))
    await asyncio.sleep(0.1)
    client._transport.app.state.stopping.set()  # type: ignore[attr-defined]
    assert (await waiting_for).status_code == 200


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("wait=30", 30), ("WAIT = 5", 5), ('wait="7"', 7), ("wait=100000", 60), ("return=minimal, wait=2; x=1", 2), ("wait=0", 0),
        (None, None), ("", None), ("wait", None), ("wait=-1", None), ("wait=1.5", None), ("wait=²", None), ("await=3", None),
    ],
)  # fmt: skip
def test_a_preference_is_read_or_passed_over(prefer: str | None, seconds: int | None) -> None:
    assert waiting.asked_seconds(prefer) == seconds


async def test_a_job_is_changed_where_nobody_else_has_changed_it(client: httpx.AsyncClient, job_id: str) -> None:
    known = await tag(client, job_id)
    mine = await client.patch(f"/v1/jobs/{job_id}", json={"name": "mine"}, headers={"If-Match": known})
    theirs = await client.patch(f"/v1/jobs/{job_id}", json={"name": "theirs"}, headers={"If-Match": known})
    assert (mine.status_code, theirs.status_code, theirs.json()["code"]) == (200, 412, "precondition_failed")
    assert mine.headers["etag"] == await tag(client, job_id)
    assert (
        await client.patch(f"/v1/jobs/{job_id}", json={"name": "theirs"}, headers={"If-Match": mine.headers["etag"]})
    ).status_code == 200


@pytest.mark.parametrize(("if_match", "status"), [("*", 200), ('"x"', 412), ("W/{tag}", 412), ('"x", {tag}', 200), ("{tag}x", 412)])
async def test_if_match_takes_strong_tags_only(client: httpx.AsyncClient, job_id: str, if_match: str, status: int) -> None:
    headers = {"If-Match": if_match.format(tag=await tag(client, job_id))}
    assert (await client.patch(f"/v1/jobs/{job_id}", json={"name": "n"}, headers=headers)).status_code == status


async def test_training_that_goes_on_does_not_spoil_if_match_and_a_new_status_does(
    client: httpx.AsyncClient, hands: Hands, job_id: str
) -> None:
    queued = await tag(client, job_id)
    lease = hands.claim(job_id)
    running = await tag(client, job_id)
    hands.step(lease, 3, lr=0.1)
    change: dict[str, Any] = {"json": {"name": "n"}}
    assert (await client.patch(f"/v1/jobs/{job_id}", headers={"If-Match": queued}, **change)).status_code == 412
    assert (await client.patch(f"/v1/jobs/{job_id}", headers={"If-Match": running}, **change)).status_code == 200


@pytest.mark.parametrize("change", [{"name": "n"}, {"metadata": {"team": "vision"}}, {"priority": 3}], ids=str)
async def test_whatever_a_client_can_change_spoils_if_match(client: httpx.AsyncClient, job_id: str, change: dict[str, Any]) -> None:
    known = {"If-Match": await tag(client, job_id)}
    assert (await client.patch(f"/v1/jobs/{job_id}", json=change)).status_code == 200
    assert (await client.patch(f"/v1/jobs/{job_id}", json={"name": "mine"}, headers=known)).status_code == 412


async def test_the_etag_of_a_job_matches_no_other_one_and_none_of_another_shape(
    client: httpx.AsyncClient, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = (await client.post("/v1/jobs", json={"dataset": {"kind": "fake"}, "epochs": 2})).json()["id"]
    known = await tag(client, job_id)
    assert (await client.patch(f"/v1/jobs/{twin}", json={"name": "n"}, headers={"If-Match": known})).status_code == 412
    monkeypatch.setattr(etags, "_shape", lambda: "of another release")
    assert (await client.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": known})).status_code == 200
    assert (await client.patch(f"/v1/jobs/{job_id}", json={"name": "n"}, headers={"If-Match": known})).status_code == 200


async def test_a_wait_ends_when_its_client_is_gone(sqlite_store: Store, client: httpx.AsyncClient, job_id: str) -> None:
    async def gone() -> dict[str, str]:
        return {"type": "http.disconnect"}

    with anyio.fail_after(60):
        await waiting.for_change(Request({"type": "http"}, gone), sqlite_store, "default", job_id, 1, 600.0, threading.Event())


async def test_a_wait_outlives_an_outage_of_the_database(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([StoreUnavailableError("away"), 1, StoreUnavailableError("away"), 2])

    def version(*_: object) -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def there() -> dict[str, str]:
        await anyio.sleep_forever()
        return {}

    monkeypatch.setattr(waiting, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(jobs, "version", version)
    with anyio.fail_after(60):
        await waiting.for_change(Request({"type": "http"}, there), sqlite_store, "default", "job_x", 1, 600.0, threading.Event())
    assert list(answers) == []

"""A job's events as pages and as a stream: each once, in order, until the end."""

import json
import threading
from collections.abc import AsyncIterator
from contextlib import ExitStack
from random import Random
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpx
import pytest
from sqlalchemy import event, text

from contract.job import Job
from contract.lifecycle import Report
from contract.spec import JobSpec
from contract.store import Store, jobs, leases, news, removal
from contract.store.leases import Lease
from contract.store.rows import Note
from service import sse, tails
from service.tails import Tails

pytestmark = pytest.mark.anyio

SPEC = JobSpec.model_validate({"dataset": {"kind": "fake"}})
STREAM = {"Accept": "text/event-stream"}


def frames(text: str) -> list[dict[str, Any]]:
    """What a stream said, frame by frame, comments left out."""
    parts = [dict(line.split(": ", 1) for line in frame.splitlines() if not line.startswith(":")) for frame in text.split("\n\n")]
    return [{**part, "data": json.loads(part["data"])} for part in parts if part]


def durable(text: str) -> list[int]:
    return [int(frame["id"]) for frame in frames(text) if "id" in frame]


async def test_pages_of_events_join_without_gap(client: httpx.AsyncClient, hands, job_id: str) -> None:
    lease = hands.claim(job_id)
    for epoch in range(1, 6):
        hands.epoch(lease, epoch, **{"val.loss": 1 / epoch})
    seen, after = [], "0"
    while after is not None:
        page = (await client.get(f"/v1/jobs/{job_id}/events", params={"after": after, "limit": 3})).json()
        seen += [event["seq"] for event in page["data"]]
        after = page["next_cursor"]
    assert seen == [1, 2, 3, 4, 5, 6, 7]


async def test_a_stream_tells_the_whole_past_and_ends_after_the_last_event(client: httpx.AsyncClient, hands, job_id: str) -> None:
    lease = hands.claim(job_id)
    hands.epoch(lease, 1, **{"val.loss": float("inf")})
    hands.succeed(lease)
    reply = await client.get(f"/v1/jobs/{job_id}/events", headers=STREAM)
    said = frames(reply.text)
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert [(frame["event"], frame["id"]) for frame in said] == [("status", "1"), ("status", "2"), ("epoch", "3"), ("status", "4")]
    assert said[2]["data"]["data"]["metrics"] == {"val.loss": "Infinity"}
    assert said[-1]["data"]["data"]["to"] == "succeeded"


async def test_a_long_past_is_told_to_its_end(client: httpx.AsyncClient, hands, job_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails, "BATCH", 2)
    lease = hands.claim(job_id)
    for epoch in range(1, 6):
        hands.epoch(lease, epoch, **{"val.loss": 1.0})
    hands.succeed(lease)
    reply = await client.get(f"/v1/jobs/{job_id}/events", headers=STREAM)
    assert durable(reply.text) == list(range(1, 9))


@pytest.mark.parametrize("heard", range(6))
async def test_a_stream_resumes_after_the_event_heard_last(client: httpx.AsyncClient, hands, job_id: str, heard: int) -> None:
    lease = hands.claim(job_id)
    hands.epoch(lease, 1, **{"val.loss": 1.0})
    hands.epoch(lease, 2, **{"val.loss": 0.5})
    hands.succeed(lease)
    for headers, query in (({**STREAM, "Last-Event-ID": str(heard)}, "?after=1"), (STREAM, f"?after={heard}")):
        reply = await client.get(f"/v1/jobs/{job_id}/events{query}", headers=headers)
        assert durable(reply.text) == list(range(heard + 1, 6))


async def listening(stream: AsyncIterator[bytes], heard: list[str], *, until: int | None = None) -> None:
    async for frame in stream:
        heard.append(frame.decode())
        if until is not None and until in durable("".join(heard)):
            return


async def test_a_client_that_comes_back_while_the_job_runs_misses_nothing(sqlite_store: Store, client, hands, job_id: str) -> None:
    """Two connections, the second from the last id of the first, beside a worker that goes on; and live numbers between."""
    lease = hands.claim(job_id)
    first: list[str] = []
    second: list[str] = []

    def connect(after: int) -> AsyncIterator[bytes]:
        return sse.stream(Tails(sqlite_store), jobs.get(sqlite_store, "default", job_id), after, threading.Event())

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: listening(connect(0), first, until=3))
            hands.step(lease, 1, lr=0.1)
            hands.epoch(lease, 1, **{"val.loss": 1.0})
        async with anyio.create_task_group() as group:
            last = durable("".join(first))[-1]
            group.start_soon(lambda: listening(connect(last), second))
            for epoch in range(2, 5):
                hands.epoch(lease, epoch, **{"val.loss": 1 / epoch})
                await anyio.sleep(sse.POLL_SECONDS / 2)
            hands.succeed(lease)
    assert durable("".join(first)) + durable("".join(second)) == [1, 2, 3, 4, 5, 6, 7]
    live = [frame for frame in frames("".join(first + second)) if "id" not in frame]
    assert {frame["event"] for frame in live} == {"metrics"}
    assert any(frame["data"]["progress"]["step"] > 0 for frame in live)


async def test_an_id_that_was_never_given_out_hides_nothing_that_is_still_to_come(sqlite_store: Store, client, hands, job_id: str) -> None:
    lease = hands.claim(job_id)
    job, heard = jobs.get(sqlite_store, "default", job_id), []
    hands.succeed(lease)
    with anyio.fail_after(30):
        await listening(sse.stream(Tails(sqlite_store), job, 10**9, threading.Event()), heard)
    assert durable("".join(heard)) == [1, 2, 3]


@pytest.mark.parametrize("heard", ["4", "1000000000", "event-3"])
async def test_an_unknown_id_is_told_once_and_the_history_begins_anew(client: httpx.AsyncClient, hands, job_id: str, heard: str) -> None:
    hands.succeed(hands.claim(job_id))
    first, *rest = frames((await client.get(f"/v1/jobs/{job_id}/events", headers={**STREAM, "Last-Event-ID": heard})).text)
    assert (first["event"], "id" in first) == ("resync", False)
    assert first["data"] == {"object": "training.resync", "reason": "unknown_event_id", "from_seq": 1}
    assert [(frame["event"], frame["id"]) for frame in rest] == [("status", "1"), ("status", "2"), ("status", "3")]


async def test_a_hundred_cuts_of_a_stream_leave_no_gap_and_no_double(sqlite_store: Store, client, hands, job_id: str) -> None:
    """The connection breaks after some bytes, often within a frame; what a client had to the end of a frame is what it heard."""
    lease, random = hands.claim(job_id), Random(7)
    for epoch in range(1, 200):
        hands.epoch(lease, epoch, **{"val.loss": 1 / epoch})
    hands.succeed(lease)
    seen: list[int] = []
    for _ in range(100):
        arrived, cut = b"", random.randrange(1, 900)
        async for frame in sse.stream(Tails(sqlite_store), jobs.get(sqlite_store, "default", job_id), len(seen), threading.Event()):
            arrived += frame
            if len(arrived) >= cut:
                break
        seen += durable(arrived[:cut].rpartition(b"\n\n")[0].decode())
    async for frame in sse.stream(Tails(sqlite_store), jobs.get(sqlite_store, "default", job_id), len(seen), threading.Event()):
        seen += durable(frame.decode())
    assert seen == list(range(1, 203))


async def test_streams_of_one_job_share_what_is_read_of_it(
    sqlite_store: Store, client, hands, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, read = [], news.of
    monkeypatch.setattr(news, "of", lambda *asked: (reads.append(1), read(*asked))[1])
    lease, shared, heard = hands.claim(job_id), Tails(sqlite_store), [[] for _ in range(20)]
    job = jobs.get(sqlite_store, "default", job_id)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            for each in heard:
                group.start_soon(listening, sse.stream(shared, job, 0, threading.Event()), each)
            await anyio.sleep(sse.POLL_SECONDS * 4)
            hands.succeed(lease)
    assert [durable("".join(each)) for each in heard] == [[1, 2, 3]] * 20
    # Each stream for itself would read at least five times.
    assert len(reads) < 60
    assert shared._tails == {}


async def test_all_jobs_that_are_followed_are_read_by_one_statement_a_tick(sqlite_store: Store) -> None:
    made = [jobs.submit(sqlite_store, "default", SPEC).job for _ in range(30)]
    shared, said = Tails(sqlite_store), []
    event.listen(sqlite_store.engine, "before_cursor_execute", lambda *sent: said.append(sent[2]))
    with ExitStack() as stack:
        followed = [stack.enter_context(shared.following(job)) for job in made]
        for tail in followed:
            await tail.look()
        quiet = [statement for statement in said if statement.startswith("SELECT")]
        jobs.cancel(sqlite_store, "default", made[0].id)
        jobs.pause(sqlite_store, "default", made[1].id)
        await followed[0].next_tick()
        said.clear()
        for tail in followed:
            await tail.look()
        assert [tail.job.state.value for tail in followed[:3]] == ["cancelled", "paused", "queued"]
        assert [[each.seq for each in await tail.events(1)] for tail in followed[:3]] == [[2], [2], []]
    assert len(quiet) == 1
    # The versions, the rows of the two, and their events.
    assert len([statement for statement in said if statement.startswith("SELECT")]) == 3


async def test_streams_of_many_jobs_beside_many_writers_tell_each_event_once_and_in_order(store: Store) -> None:
    made = [jobs.submit(store, "default", SPEC).job for _ in range(6)]
    shared, heard = Tails(store), {job.id: [] for job in made}

    def write(some: list[Job]) -> None:
        for job in some:
            leased = leases.claim(store, job.id, "cpu", 60, job.id)
            assert leased is not None
        for number in range(8):
            for job in some:
                leases.renew(store, Lease(job.id, 1), 60, Report(step=number), [Note("log", "a"), Note("log", "b")])
        for job in some:
            leases.succeed(store, Lease(job.id, 1), {})

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            for job in made:
                group.start_soon(listening, sse.stream(shared, job, 0, threading.Event()), heard[job.id])
            for some in (made[:3], made[3:]):
                group.start_soon(anyio.to_thread.run_sync, write, some)
    assert [durable("".join(each)) for each in heard.values()] == [list(range(1, 20))] * 6
    assert shared._tails == {}


async def test_more_events_than_are_read_at_once_are_read_to_the_end(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails, "BATCH", 2)
    job, heard = jobs.submit(sqlite_store, "default", SPEC).job, []
    leases.claim(sqlite_store, "worker", "cpu", 60, job.id)
    leases.renew(sqlite_store, Lease(job.id, 1), 60, Report(), [Note("log", str(number)) for number in range(7)])
    with anyio.fail_after(30):
        await listening(sse.stream(Tails(sqlite_store), job, 0, threading.Event()), heard, until=9)
    assert durable("".join(heard)) == list(range(1, 10))


async def test_a_stream_of_a_job_that_is_deleted_ends_and_leaves_the_others(sqlite_store: Store) -> None:
    deleted, other = [jobs.submit(sqlite_store, "default", SPEC).job for _ in range(2)]
    for job in (deleted, other):
        jobs.cancel(sqlite_store, "default", job.id)
    removal.hide(sqlite_store, "default", deleted.id)
    shared, heard = Tails(sqlite_store), {deleted.id: [], other.id: []}
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            for job in (deleted, other):  # as they were looked up before
                group.start_soon(listening, sse.stream(shared, job, 1, threading.Event()), heard[job.id])
    assert [durable("".join(heard[job.id])) for job in (deleted, other)] == [[], [2]]


async def test_a_stream_ends_when_the_service_stops(sqlite_store: Store, client, job_id: str) -> None:
    stopping, heard = threading.Event(), []
    job = jobs.get(sqlite_store, "default", job_id)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: listening(sse.stream(Tails(sqlite_store), job, 0, stopping), heard))
            await anyio.lowlevel.checkpoint()
            stopping.set()
    assert durable("".join(heard)) in ([], [1])


async def test_a_quiet_stream_is_kept_alive_by_comments(sqlite_store: Store, client, job_id: str) -> None:
    job = jobs.get(sqlite_store, "default", job_id)
    stream = sse.stream(Tails(sqlite_store), job, 0, threading.Event(), keep_alive_seconds=0.5)
    with anyio.fail_after(30):
        heard = [await anext(stream) for _ in range(4)]
    assert [frame.startswith(b":") for frame in heard] == [False, False, True, True]


async def test_a_stream_outlives_an_outage_of_the_store(sqlite_store: Store, client, hands, job_id: str) -> None:
    job, heard = jobs.get(sqlite_store, "default", job_id), []
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: listening(sse.stream(Tails(sqlite_store), job, 0, threading.Event()), heard))
            for name, back in (("jobs", "away"), ("away", "jobs")):
                with sqlite_store.write() as connection:
                    connection.execute(text(f"ALTER TABLE {name} RENAME TO {back}"))
                await anyio.sleep(sse.POLL_SECONDS * 2)
            jobs.cancel(sqlite_store, "default", job_id)
    assert durable("".join(heard)) == [1, 2]


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_a_cache_keeps_the_page_and_the_stream_apart(client: httpx.AsyncClient, hands: Any, job_id: str, accept: str) -> None:
    hands.succeed(hands.claim(job_id))
    reply = await client.get(f"/v1/jobs/{job_id}/events", headers={"Accept": accept})
    assert (reply.headers["content-type"].split(";")[0], reply.headers["vary"]) == (accept, "Accept")

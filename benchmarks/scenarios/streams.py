"""How soon an event reaches its client when one API process feeds hundreds of open streams, and whether any is missed."""

import asyncio
import json
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context

from benchmarks import figures, load, machine, stacks
from benchmarks.figures import Goal, Row
from benchmarks.load import Connection
from benchmarks.scenarios import Size
from benchmarks.scenarios.submit import CONNECTIONS, SPEC
from benchmarks.stacks import Standing
from contract.store import Store, leases
from contract.store.leases import Lease
from contract.store.rows import Note

TITLE = "Open event streams on one API process, each of a job of its own, while events are written as workers write them."
NEEDS_STACK = True
_STREAMS = {Size.SMOKE: 20, Size.QUICK: 500, Size.FULL: 500}
_EVENTS = {Size.SMOKE: 40, Size.QUICK: 250, Size.FULL: 3000}
_PER_SECOND = 50
_LAST_SECONDS = 5.0
"""How long what was written last may take to be heard."""


@dataclass
class _Heard:
    """What came out of all streams."""

    milliseconds: list[float] = field(default_factory=list)
    """From the beginning of the transaction that wrote an event to its arrival here."""
    wanted: int = 0
    """How many there will be."""
    gaps: int = 0
    """Events whose seq was not the last one's plus 1: left out, doubled or out of order."""
    all: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once as many as are wanted were heard."""

    def hear(self, sent: float) -> None:
        """Of an event written at `sent`, in seconds since 1970."""
        self.milliseconds.append((time.time() - sent) * 1000)
        if len(self.milliseconds) == self.wanted:
            self.all.set()


def run(size: Size) -> Iterator[Row]:
    """Delays of all events together; the middle half is that of the events."""
    with stacks.api() as standing:
        heard = asyncio.run(_listen(standing, _STREAMS[size], _EVENTS[size]))
        memory = machine.memory_mb(standing.api_pid())[1]
    among = f"{_STREAMS[size]} streams"
    low, high = (figures.percentile(heard.milliseconds, share) for share in (0.25, 0.75))
    p50, p99 = (figures.percentile(heard.milliseconds, share) for share in (0.5, 0.99))
    yield Row(f"{among}, event to client, p50", figures.Spread(p50, low, high), "ms")
    yield Row(f"{among}, event to client, p99", figures.spread([p99]), "ms", Goal("at most", 250))
    missing = _EVENTS[size] - len(heard.milliseconds)
    yield Row(f"{among}, events missing or out of order", figures.spread([float(heard.gaps + missing)]), "", Goal("at most", 0))
    yield Row(f"{among}, most resident memory of the API", figures.spread([memory]), "MB", Goal("at most", 300))


async def _listen(standing: Standing, streams: int, events: int) -> _Heard:
    asked = load.request("POST", "/v1/jobs", SPEC)
    _, replies = await load.crowd(standing.url, lambda _: asked, streams, min(CONNECTIONS, streams), 201)
    job_ids = [str(json.loads(reply.body)["id"]) for reply in replies]
    heard = _Heard(wanted=events)
    opened = [await Connection.to(standing.url) for _ in job_ids]
    async with asyncio.TaskGroup() as listening:
        tasks = [listening.create_task(_follow(*one, heard)) for one in zip(opened, job_ids, strict=True)]
        # In a process of its own: writing must not keep this one from hearing.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            await asyncio.get_running_loop().run_in_executor(pool, _write, standing.database_url, job_ids, events)
        with suppress(TimeoutError):
            await asyncio.wait_for(heard.all.wait(), _LAST_SECONDS)
        for task in tasks:
            task.cancel()
    for connection in opened:
        connection.close()
    return heard


async def _follow(connection: Connection, job_id: str, heard: _Heard) -> None:
    """Read one stream for as long as it is wanted."""
    connection.writer.write(load.request("GET", f"/v1/jobs/{job_id}/events", headers={"accept": "text/event-stream"}))
    await connection.head()
    seq = 0
    # The lines of chunked transfer that stand between have neither of the two names.
    while line := await connection.reader.readline():
        if line.startswith(b"id: "):
            heard.gaps += int(line[4:]) != seq + 1
            seq = int(line[4:])
        elif line.startswith(b"data: ") and b'"sent"' in line:
            heard.hear(json.loads(line[6:])["data"]["sent"])


def _write(database_url: str, job_ids: list[str], events: int) -> None:
    """Take up all the jobs, then write events at a steady pace, to one job after another."""
    store = Store(database_url)
    held = [leases.claim(store, "benchmark", "cpu", 3600, job_id) for job_id in job_ids]
    owned = [Lease(job.id, job.fence) for job in held if job is not None]
    began = time.perf_counter()
    for number in range(events):
        time.sleep(max(0.0, began + number / _PER_SECOND - time.perf_counter()))
        note = Note("log", "an event", {"sent": time.time()})
        leases.renew(store, owned[number % len(owned)], 3600, notes=[note])
    store.close()

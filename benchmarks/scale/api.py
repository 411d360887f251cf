"""What one API process carries: requests a core by kind, and streams by memory, by what they cost at rest and by what an event costs."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from benchmarks import hostile, load, machine, stacks
from benchmarks.load import Connection
from benchmarks.scenarios.submit import CONNECTIONS, SPEC
from benchmarks.stacks import Standing
from contract.store import Store, leases
from contract.store.leases import Lease
from contract.store.rows import Note

_KEPT: Final = 20
"""Jobs on a page of the list."""
_SETTLE_SECONDS: Final = 3.0
"""Until each stream has had what was there before it."""
_LAST_SECONDS: Final = 3.0
"""For the last event to be heard."""
_TOLD: Final = "what the benchmark tells"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of request."""

    name: str
    cpu_ms: float
    """Of the API process for one."""
    p99_ms: float
    """On 16 connections that ask again once they are answered."""


@dataclass(frozen=True, slots=True)
class Streams:
    """Open event streams, each of a job of its own."""

    many: int
    memory_kb: float
    """Of one: 10^3 bytes."""
    rest_cores: float
    """What all of them take of a core while nothing happens."""
    event_cpu_ms: float
    """Of an event of one job to its one stream."""


def measured(requests: int, streams: int, seconds: float) -> tuple[list[Kind], Streams]:
    """So many requests of each kind; then so many streams, for so many seconds at rest and as many with an event each fiftieth of one."""
    with stacks.api() as standing:
        kinds = asyncio.run(_kinds(standing, requests))
        return kinds, asyncio.run(_streams(standing, streams, seconds))


def kind_rows(kinds: list[Kind]) -> list[tuple[str, ...]]:
    """As docs/scale.md has them."""
    return [(kind.name, f"{kind.cpu_ms:.2f}", f"{1000 / kind.cpu_ms:,.0f}", f"{kind.p99_ms:,.0f}") for kind in kinds]


def stream_rows(found: Streams) -> list[tuple[str, ...]]:
    """As docs/scale.md has them."""
    return [
        ("memory of a stream, kB", f"{found.memory_kb:,.0f}"),
        (f"of a core, {found.many:,} streams at rest", f"{found.rest_cores:.3f}"),
        ("CPU of an event to its stream, ms", f"{found.event_cpu_ms:.2f}"),
        ("events a second and core", f"{1000 / found.event_cpu_ms:,.0f}" if found.event_cpu_ms > 0 else "too few to tell"),
    ]


async def _kinds(standing: Standing, requests: int) -> list[Kind]:
    new = load.request("POST", "/v1/jobs", SPEC)
    _, replies = await load.crowd(standing.url, lambda _: new, max(_KEPT, CONNECTIONS), CONNECTIONS, 201)
    path = f"/v1/jobs/{json.loads(replies[0].body)['id']}"
    # One that nobody rings for does not change meanwhile.
    _held(standing, [path.rpartition("/")[2]])
    _, (now,) = await load.crowd(standing.url, lambda _: load.request("GET", path), 1, 1, 200)
    asked = {
        "submit": (new, 201),
        "read a job": (load.request("GET", path), 200),
        "the same, 304": (load.request("GET", path, headers={"if-none-match": now.headers["etag"]}), 304),
        f"a list of {_KEPT} jobs": (load.request("GET", f"/v1/jobs?limit={_KEPT}"), 200),
    }
    return [await _kind(standing, name, lambda _, one=one: one, expected, requests) for name, (one, expected) in asked.items()]  # type: ignore[misc]


async def _kind(standing: Standing, name: str, make: Callable[[int], bytes], expected: int, requests: int) -> Kind:
    await load.crowd(standing.url, make, CONNECTIONS, CONNECTIONS, expected)
    before = hostile.cpu_seconds(standing.api_pid())
    made, _ = await load.crowd(standing.url, make, requests, CONNECTIONS, expected)
    if made.refused:
        raise SystemExit(f"{name}: {made.refused} of {requests} were answered otherwise than with {expected}")
    return Kind(name, 1000 * (hostile.cpu_seconds(standing.api_pid()) - before) / requests, made.percentile(0.99))


async def _streams(standing: Standing, many: int, seconds: float) -> Streams:
    new = load.request("POST", "/v1/jobs", SPEC)
    _, replies = await load.crowd(standing.url, lambda _: new, many, CONNECTIONS, 201)
    held = _held(standing, [json.loads(reply.body)["id"] for reply in replies])
    pid = standing.api_pid()
    memory = machine.memory_mb(pid)[0]
    opened = [await _opened(standing.url, lease.job_id) for lease in held]
    heard: list[bytes] = []
    readers = [asyncio.create_task(_read(one, heard)) for one in opened]
    await asyncio.sleep(_SETTLE_SECONDS)
    memory = machine.memory_mb(pid)[0] - memory
    at_rest = await _cores(pid, seconds, lambda: None)
    events = int(50 * seconds)
    store = Store(standing.database_url)
    told = iter(range(events))
    busy = await _cores(pid, seconds, lambda: _tell(store, held[next(told) % many]), events)
    store.close()
    if (came := sum(_TOLD.encode() in line for line in heard)) < events:
        raise SystemExit(f"{events - came} of {events} events were not heard in time; ask for fewer by --streams")
    for task, connection in zip(readers, opened, strict=True):
        task.cancel()
        connection.close()
    return Streams(many, 1000 * memory / many, at_rest[0], 1000 * max(0.0, busy[1] - at_rest[0] * busy[2]) / events)


async def _cores(pid: int, seconds: float, act: Callable[[], None], times: int = 0) -> tuple[float, float, float]:
    """Share of a core, seconds of CPU and seconds by the clock, while `act` is done so often, evenly."""
    clock, used = asyncio.get_running_loop().time, hostile.cpu_seconds(pid)
    began = clock()
    for number in range(times):
        await asyncio.sleep(max(0.0, began + number * seconds / times - clock()))
        await asyncio.to_thread(act)
    await asyncio.sleep(max(_LAST_SECONDS if times else 0.0, began + seconds - clock()))
    spent = hostile.cpu_seconds(pid) - used
    return spent / (clock() - began), spent, clock() - began


async def _opened(url: str, job_id: str) -> Connection:
    connection = await Connection.to(url)
    connection.writer.write(load.request("GET", f"/v1/jobs/{job_id}/events", headers={"accept": "text/event-stream"}))
    status, _ = await connection.head()
    if status != 200:
        raise SystemExit(f"a stream was answered with {status}; ask for fewer by --streams")
    return connection


async def _read(connection: Connection, heard: list[bytes]) -> None:
    while line := await connection.reader.readline():
        heard.append(line)


def _tell(store: Store, lease: Lease) -> None:
    leases.renew(store, lease, 3600, notes=[Note("log", _TOLD, {})])


def _held(standing: Standing, job_ids: list[str]) -> list[Lease]:
    """The jobs in the hands of a worker that does nothing."""
    store = Store(standing.database_url)
    claimed = [leases.claim(store, "benchmark", "cpu", 3600, job_id) for job_id in job_ids]
    store.close()
    return [Lease(job.id, job.fence) for job in claimed if job is not None]

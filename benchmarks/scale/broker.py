"""What the broker carries: rings a second and core, bytes of one, and memory of those that nobody has heard."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks import hostile
from client import broker, tether
from contract import ids, queue
from contract.lifecycle import LONGEST_RING_SECONDS, RING_SECONDS

if TYPE_CHECKING:
    from celery import Celery

_BATCH: Final = 16
"""Rings at once, as the API's thread rings for what came meanwhile."""
_START_SECONDS: Final = 20.0
WAITS: Final = {"no 5 seconds": 1.0, "a minute": 60.0, "ten minutes": 600.0, "an hour": 3600.0, "a day": 86_400.0}
"""How long a job may wait for a worker, in seconds."""


@dataclass(frozen=True, slots=True)
class Carried:
    """What was measured on a broker of our own, started as the embedded stack starts it, with its append-only file."""

    rung_per_second: float
    """By one thread."""
    rung_cpu_ms: float
    """Of the broker for a ring."""
    heard_per_second: float
    """By one consumer, each acknowledged when taken, as a worker does it."""
    heard_cpu_ms: float
    message_bytes: int
    unheard_bytes: float
    """Of the broker's memory for a message that waits."""
    log_bytes: float
    """Of its append-only file for a message that was rung."""


def measured(rings: int, unheard: int) -> Carried:
    """Ring so often and hear all of it, then have so many messages wait."""
    with tempfile.TemporaryDirectory(prefix="ridgeline-scale-") as folder, served(Path(folder)) as (pid, url):
        celery = queue.app(url)
        with celery.connection_for_write() as connection:
            client = connection.default_channel.client
            _ring(celery, _BATCH)
            before = client.info("memory")["used_memory"]
            rung, rung_cpu = _timed(pid, lambda: _ring(celery, rings))
            waiting = client.info("memory")["used_memory"] - before
            log = sum(file.stat().st_size for file in Path(folder).rglob("*.aof"))
            message = client.lindex(queue.QUEUE, 0)
            heard, heard_cpu = _timed(pid, lambda: _hear(celery, rings))
            many = _pile(client, message, unheard) if unheard else waiting / rings
        celery.close()
    return Carried(
        rings / rung, 1000 * rung_cpu / rings, rings / heard, 1000 * heard_cpu / rings, len(message), many, log / (rings + _BATCH)
    )


def rings(waited_seconds: float) -> int:
    """Messages of a job that waits so long while every worker is busy: that of its submission, and those by the reconciler's clock."""
    count, at = 1, RING_SECONDS
    while at <= waited_seconds:
        at += min(LONGEST_RING_SECONDS, RING_SECONDS * 2.0 ** min(count - 1, 16))
        count += 1
    return count


def rows(found: Carried) -> list[tuple[str, str]]:
    """As docs/scale.md has them."""
    return [
        ("rings a second, of one API process", f"{found.rung_per_second:,.0f}"),
        ("rings a second that a core of the broker carries", _per_core(found.rung_cpu_ms)),
        ("messages a second that one consumer hears", f"{found.heard_per_second:,.0f}"),
        ("messages heard a second that a core of the broker carries", _per_core(found.heard_cpu_ms)),
        ("bytes of a message", f"{found.message_bytes:,}"),
        ("bytes of its append-only file for a ring", f"{found.log_bytes:,.0f}"),
        ("bytes of memory of a message that nobody has heard", f"{found.unheard_bytes:,.0f}"),
        ("memory of 1,000,000 of them, MB", f"{found.unheard_bytes:,.0f}"),
    ]


def _per_core(milliseconds: float) -> str:
    return f"{1000 / milliseconds:,.0f} ({milliseconds:.3f} ms)" if milliseconds else "more than can be told; ask for more by --rings"


def _ring(celery: "Celery", many: int) -> None:
    for first in range(0, many, _BATCH):
        if not queue.ring(celery, [ids.job() for _ in range(min(_BATCH, many - first))]):
            raise SystemExit("the broker did not take a ring")


def _hear(celery: "Celery", many: int) -> None:
    with celery.connection_for_read() as connection:
        waiting = connection.SimpleQueue(queue.app(celery.conf.broker_url).conf.task_queues[0], no_ack=True)
        for _ in range(many):
            waiting.get(timeout=10)
        waiting.close()


def _pile(client: Any, message: bytes, many: int) -> float:
    """Bytes of memory for one of so many copies of a message."""
    before, left = client.info("memory")["used_memory"], many
    while left:
        client.lpush(queue.QUEUE, *[message] * min(left, 1000))
        left -= min(left, 1000)
    return float(client.info("memory")["used_memory"] - before) / many


def _timed(pid: int, act: Any) -> tuple[float, float]:
    """Seconds by the clock, and of the broker's CPU."""
    began, used = time.perf_counter(), hostile.cpu_seconds(pid)
    act()
    return time.perf_counter() - began, hostile.cpu_seconds(pid) - used


@contextmanager
def served(folder: Path) -> Iterator[tuple[int, str]]:
    """Pid and address of a broker that ends with the block, or with this process."""
    own = broker.embedded(folder)
    own.prepare()
    command = [sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), "--", *own.command()]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + _START_SECONDS
        while not own.socket.exists():
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"{own.program} did not start in {_START_SECONDS:g} s")
            time.sleep(0.02)
        yield process.pid, own.url
    finally:
        process.kill()
        process.wait()
        own.clear()

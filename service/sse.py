"""What a stream of a job's events says and when: every event once and in order, live numbers between, until the job ends."""

import threading
from collections.abc import AsyncIterator
from typing import Final

import anyio
import anyio.to_thread
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from contract.errors import OperatorError
from contract.job import Job
from contract.store import Store, jobs, rows
from service import views

POLL_SECONDS: Final = 0.25
KEEP_ALIVE_SECONDS: Final = 15.0
HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""A proxy that buffers would hold back what happens now."""
_BATCH: Final = 500


async def stream(
    store: Store, job: Job, after: int, stopping: threading.Event, *, keep_alive_seconds: float = KEEP_ALIVE_SECONDS
) -> AsyncIterator[bytes]:
    """Frames of the job's events after seq `after`.

    Durable events bear an id, their seq; live numbers bear none, so that a client which comes back with its Last-Event-ID
    misses nothing and hears nothing twice. Ends after the job's last event, or when the service stops.
    """
    # Nothing after the newest event was ever said: a larger number is not ours, and would hide what is still to come.
    after = min(after, job.event_seq)
    shown, quiet = b"", 0.0
    while not stopping.is_set():
        job, events = await anyio.to_thread.run_sync(_look, store, job, after)
        for event in events:
            after = event.seq
            yield _durable(event)
        if job.is_terminal and after >= job.event_seq:
            return
        live = _live(job)
        if live != shown:
            yield live
        elif quiet >= keep_alive_seconds:
            yield KEEPALIVE_COMMENT
        quiet = 0.0 if events or live != shown or quiet >= keep_alive_seconds else quiet + POLL_SECONDS
        shown = live
        if len(events) < _BATCH:
            await anyio.sleep(POLL_SECONDS)


def _look(store: Store, job: Job, after: int) -> tuple[Job, list[rows.Event]]:
    """The job as it stands, and its events after `after`. While the store is away there is nothing new: the stream goes on."""
    try:
        now = jobs.get(store, job.tenant, job.id)
        return now, jobs.events(store, job.id, after, _BATCH) if now.event_seq > after else []
    except OperatorError:
        return job, []


def _durable(event: rows.Event) -> bytes:
    return format_sse_event(event=event.type, data_str=views.event(event).model_dump_json(), id=str(event.seq))


def _live(job: Job) -> bytes:
    return format_sse_event(event="metrics", data_str=views.live(job).model_dump_json())

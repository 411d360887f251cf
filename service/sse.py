"""What a stream of a job's events says and when: every event once and in order, live numbers between, until the job ends."""

import threading
from collections.abc import AsyncIterator
from typing import Final

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from contract.errors import NotFoundError
from contract.job import Job
from contract.store import rows
from service import shapes, views
from service.tails import POLL_SECONDS, Tails

KEEP_ALIVE_SECONDS: Final = 15.0
HEADERS: Final = {"Cache-Control": "no-store", "Vary": "Accept", "X-Accel-Buffering": "no"}
"""A proxy that buffers would hold back what happens now."""


async def stream(
    tails: Tails, job: Job, heard: int | None, stopping: threading.Event, *, keep_alive_seconds: float = KEEP_ALIVE_SECONDS
) -> AsyncIterator[bytes]:
    """Frames of the job's events after seq `heard`; None is an id that no stream gave out.

    Durable events bear an id, their seq; live numbers bear none, so that a client which comes back with its Last-Event-ID
    misses nothing and hears nothing twice. An unknown id is answered with one `resync`, and then with everything. Ends after the
    job's last event, when the job is deleted, or when the service stops.
    """
    after = heard or 0
    if heard is None or heard > job.event_seq:
        # It is of another job, or of a database that has since been put back to an earlier day: it says nothing of what was heard.
        yield _resync("unknown_event_id")
        after = 0
    shown, live, quiet = None, b"", 0.0
    with tails.following(job) as tail:
        while not stopping.is_set():
            try:
                await tail.look()
            except NotFoundError:
                return
            job, events = tail.job, await tail.events(after)
            for event in events:
                after = event.seq
                yield _durable(event)
            if after < job.event_seq and events:
                continue
            if job.is_terminal and after >= job.event_seq:
                return
            is_new = False
            if job is not shown:  # else the numbers are the same, and need not be written to be compared
                before, live, shown = live, _live(job), job
                is_new = live != before
            if is_new:
                yield live
            elif quiet >= keep_alive_seconds:
                yield KEEPALIVE_COMMENT
            quiet = 0.0 if events or is_new or quiet >= keep_alive_seconds else quiet + POLL_SECONDS
            await tail.next_tick()


def _durable(event: rows.Event) -> bytes:
    return format_sse_event(event=event.type, data_str=views.event(event).model_dump_json(), id=str(event.seq))


def _live(job: Job) -> bytes:
    return format_sse_event(event="metrics", data_str=views.live(job).model_dump_json())


def _resync(reason: str) -> bytes:
    return format_sse_event(event="resync", data_str=shapes.Resync(reason=reason, from_seq=1).model_dump_json())

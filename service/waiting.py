"""How a request waits for a job to change: without a thread of its own, and never past the end of the service."""

import re
import threading
from typing import Final

import anyio
import anyio.to_thread
from fastapi import Request

from contract.errors import OperatorError
from contract.store import Store, jobs

MOST_SECONDS: Final = 60
POLL_SECONDS: Final = 0.25
_WAIT = re.compile(r'\s*wait\s*=\s*"?([0-9]{1,9})"?\s*(?:;.*)?', re.IGNORECASE | re.ASCII)


def asked_seconds(prefer: str | None) -> int | None:
    """Of `Prefer: wait=30` (RFC 7240), 60 at most; None where nothing of that kind is asked. What is not understood is passed over."""
    found = next((match for part in (prefer or "").split(",") if (match := _WAIT.fullmatch(part))), None)
    return min(MOST_SECONDS, int(found[1])) if found else None


async def for_change(
    request: Request, store: Store, tenant: str, job_id: str, version: int, seconds: float, stopping: threading.Event
) -> None:
    """Return once the job has another version, or after so many seconds, or when the client is gone or the service ends.

    Raises NotFoundError for a job that is deleted meanwhile. While the database is away the wait goes on.
    """
    with anyio.move_on_after(seconds):
        while not stopping.is_set() and not await request.is_disconnected():
            try:
                if await anyio.to_thread.run_sync(jobs.version, store, tenant, job_id) != version:
                    return
            except OperatorError:
                pass  # what the reply then says of it is told by the read that follows
            await anyio.sleep(POLL_SECONDS)

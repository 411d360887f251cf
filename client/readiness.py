"""When a stack is ready: the API answers, says that it is, and a worker waits for a job."""

import time
from collections.abc import Callable
from typing import Final

from client import credentials
from client.errors import ApiError, ServerUnreachable, StackError
from client.sdk import Client

DEATHS_TO_GIVE_UP: Final = 3
"""A part that died so often before the stack was ready once will not come up by being started again."""
_LOOK_SECONDS: Final = 0.1


def wait(url: str, seconds: float, assert_alive: Callable[[], None], tails: Callable[[], str], *, worker_too: bool = True) -> None:
    """Return once a job would be taken and trained; without `worker_too`, once one would be accepted and kept.

    Raises StackError with the cause and the `tails` of logs after `seconds`, or what `assert_alive` raises.
    """
    deadline = time.monotonic() + seconds
    with Client(url, patience_seconds=0, api_key=credentials.of_own_stack()) as client:
        while (missing := _missing(client, worker_too=worker_too)) is not None:
            assert_alive()
            if time.monotonic() > deadline:
                raise StackError(f"not ready after {seconds:g} s: {missing}{tails()}")
            time.sleep(_LOOK_SECONDS)


def _missing(client: Client, *, worker_too: bool) -> str | None:
    """What still stands between now and a job that is trained; None when nothing does."""
    try:
        if not worker_too:
            client.version()
            return None
        # The cheap question first: /readyz writes and flushes a file each time.
        # A busy one counts: after a restart the first worker up begins at once with what waited.
        if not _has_worker(client):
            return "no worker has come up yet"
        client.ready()
    except (ApiError, ServerUnreachable) as error:
        return str(error)
    return None


def _has_worker(client: Client) -> bool:
    """Whether a worker can take a job; taken for true where the server wants a key that we do not have, as /readyz tells as well."""
    try:
        return any(worker["state"] in {"idle", "busy"} and worker["is_fresh"] for worker in client.workers())
    except ApiError as error:
        if error.status in {401, 403}:
            return True
        raise

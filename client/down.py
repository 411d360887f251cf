"""How a stack is ended from outside: who owns the folder, what that process is told, and that no part of it is left running."""

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from client import broker
from client.errors import StackError
from client.folder import MARK, Lock

_LOOK_SECONDS: Final = 0.1
_LAST_SECONDS: Final = 10.0
"""For what the kernel ends by itself: a process that has given its lock back, the parts of one that was killed."""
_OURS: Final = frozenset({"client", "client.demo", "client.study"})


@dataclass(frozen=True, slots=True)
class Ended:
    """What was there to end."""

    pid: int | None
    """Of the stack; None where none ran."""
    killed: tuple[int, ...]
    """Parts that a stack which was itself killed had left running."""


def end(data_dir: Path, *, now: bool = False, patience_seconds: float = 120.0) -> Ended:
    """End the stack of this folder in order, or `now`, and return once nothing of it runs. Harmless where nothing does.

    Raises StackError where the folder is in the hands of something else, or its owner does not end within `patience_seconds`.
    """
    if sys.platform != "linux":
        raise StackError("this system does not tell whose a process is; end the stack with Ctrl-C where it runs")
    lock = Lock(data_dir.resolve())
    pid = _end_owner(lock, now=now, patience_seconds=patience_seconds)
    return Ended(pid, _end_parts(lock))


def parts_of(data_dir: Path) -> list[int]:
    """Processes that belong to a stack of this folder: by their environment, or (Valkey overwrites its own) by the socket."""
    mark, socket = f"{MARK}={data_dir.resolve()}".encode(), os.fsencode(broker.socket_for(data_dir))
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        # Processes come and go, and others' may not be looked at.
        with suppress(OSError):
            if int(entry.name) != os.getpid() and (mark in _words(entry / "environ") or _is_broker(entry, socket)):
                found.append(int(entry.name))
    return found


def _end_owner(lock: Lock, *, now: bool, patience_seconds: float) -> int | None:
    """Tell the process that holds the lock to end, and wait until it has; its pid, or None where nobody holds it."""
    with _owner(lock) as owner:
        if owner is None:
            return None
        if not owner.is_stopping:
            owner.tell(signal.SIGTERM)
        if now:
            # Another signal than the first: two of a kind that are under way together arrive as one.
            owner.tell(signal.SIGINT)
        if not _until(lambda: not lock.is_held(), patience_seconds):
            hint = f"kill -9 {owner.pid} ends it and its parts" if now else "--now ends it at once"
            raise StackError(f"the stack (pid {owner.pid}) was told to end {patience_seconds:g} s ago and has not; {hint}")
        owner.await_end(_LAST_SECONDS)
        return owner.pid


def _end_parts(lock: Lock) -> tuple[int, ...]:
    """Wait for the parts that die with their stack, and kill those that do not. Nobody can start a stack here meanwhile."""
    with lock.unowned() as is_free:
        if not is_free or _until(lambda: not parts_of(lock.folder), _LAST_SECONDS):
            return ()
        left = tuple(parts_of(lock.folder))
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not _until(lambda: not parts_of(lock.folder), _LAST_SECONDS):
            raise StackError(f"these parts of the stack cannot be ended: {', '.join(map(str, parts_of(lock.folder)))}")
        return left


class _Owner:
    """The process that holds the lock. Named by a handle rather than by its pid, which another may have by the next moment."""

    def __init__(self, pid: int, handle: int, *, is_stopping: bool) -> None:
        self.pid, self._handle, self.is_stopping = pid, handle, is_stopping

    def tell(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, number)

    def await_end(self, seconds: float) -> None:
        select.select([self._handle], [], [], seconds)


@contextmanager
def _owner(lock: Lock) -> Iterator[_Owner | None]:
    """Who holds the lock; None where nobody does. Raises StackError unless that is a stack that was started by a command of ours."""
    pid, is_stopping = lock.owner()
    if not lock.is_held():
        yield None
        return
    handle = _handle(pid) if pid else None
    try:
        if handle is None or not _holds(pid, lock.file):
            if not lock.is_held():  # it has ended meanwhile
                yield None
                return
            raise StackError(f"{lock.folder} is in use by a process that cannot be seen from here (pid {pid or 'not known'}); end it there")
        command = [word.decode(errors="replace") for word in _words(Path(f"/proc/{pid}/cmdline"))]
        if not _is_ours(command):
            raise StackError(
                f"{lock.folder} is in use by pid {pid}, `{' '.join(command)[:200]}`, which is no command of ours; end that itself"
            )
        yield _Owner(pid, handle, is_stopping=is_stopping)
    finally:
        if handle is not None:
            os.close(handle)


def _handle(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def _holds(pid: int, file: Path) -> bool:
    """Whether the process has the lock file open, so that the pid written there is not of one that is long gone."""
    with suppress(OSError):
        known = file.stat()
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found = handle.stat()
                if (found.st_dev, found.st_ino) == (known.st_dev, known.st_ino):
                    return True
    return False


def _is_ours(command: list[str]) -> bool:
    module = command[command.index("-m") + 1] if "-m" in command[:-1] else ""
    return module in _OURS or "ridgeline" in {Path(word).name for word in command[:2]}


def _is_broker(process: Path, socket: bytes) -> bool:
    # By its program too: whoever looks into the broker names the socket as well.
    program = os.readlink(process / "exe").removesuffix(" (deleted)")
    return Path(program).name in {"valkey-server", "redis-server"} and socket in (process / "cmdline").read_bytes()


def _words(file: Path) -> list[bytes]:
    return file.read_bytes().rstrip(b"\0").split(b"\0")


def _until(holds: Callable[[], bool], seconds: float) -> bool:
    """Whether it comes to hold within so many seconds."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_SECONDS)
    return True

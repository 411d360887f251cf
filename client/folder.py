"""Whose data folder it is: one stack at a time owns it, by a lock that the kernel takes back however the owner ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from client.errors import StackError

MARK: Final = "RIDGELINE_STACK"
"""Each part of a stack, and whatever it starts, has the data folder under this name in its environment."""


class Lock:
    """The lock of a data folder. Holding it means that nothing else started by a stack uses the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "lock"
        self._handle: int | None = None

    def take(self) -> bool:
        """Take the lock; True if its last owner gave it back in good order. Raises StackError, naming the owner, if it is held."""
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StackError(f"{self.file.parent} cannot be used: {error.strerror}; choose another folder with --data-dir") from error
        owner = os.read(handle, 32).decode(errors="replace").strip()
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise StackError(
                f"{self.file.parent} is in use by another stack (pid {owner or 'not known'}); "
                "stop that one, or choose another folder with --data-dir"
            ) from None
        self._handle = handle
        _write(handle, f"{os.getpid()}\n")
        return not owner

    def note_stopping(self) -> None:
        """Let others see that the owner is on its way to its end."""
        if self._handle is not None:
            _write(self._handle, f"{os.getpid()} stopping\n")

    def owner(self) -> tuple[int, bool]:
        """The pid that the owner wrote down, and whether it is stopping. It is 0 where there is none; a dead owner's stays."""
        with suppress(OSError, ValueError):
            pid, _, news = self.file.read_text().strip().partition(" ")
            return int(pid), news == "stopping"
        return 0, False

    def is_held(self) -> bool:
        """Whether anyone holds the lock just now."""
        with self.unowned() as is_free:
            return not is_free

    @contextmanager
    def unowned(self) -> Iterator[bool]:
        """Whether nobody holds the lock; then nobody can take it meanwhile. Writes nothing: how the last owner ended stays told."""
        try:
            handle = os.open(self.file, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            yield True
            return
        except OSError as error:
            raise StackError(f"{self.file} cannot be looked at: {error.strerror}; ask its owner") from error
        try:
            yield _is_free(handle)
        finally:
            os.close(handle)

    def release(self, *, in_order: bool = True) -> None:
        """Give the lock back. Not `in_order`, the next owner is told so, as after an owner that was killed.

        The file stays: removing it could part a later owner from the lock they believe to hold.
        """
        if self._handle is not None:
            if in_order:
                _write(self._handle, "")
            os.close(self._handle)
            self._handle = None


def _is_free(handle: int) -> bool:
    try:
        # Shared: it keeps owners out, and not others who only look.
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(handle: int, text: str) -> None:
    os.ftruncate(handle, 0)
    os.pwrite(handle, text.encode(), 0)

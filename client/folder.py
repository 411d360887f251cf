"""Whose data folder it is: one stack at a time owns it, by a lock that the kernel takes back however the owner ends."""

import fcntl
import os
from pathlib import Path

from client.errors import StackError


class Lock:
    """The lock of a data folder. Holding it means that nothing else started by a stack uses the folder."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "lock"
        self._handle: int | None = None

    def take(self) -> bool:
        """Take the lock; True if its last owner gave it back in good order. Raises StackError, naming the owner, if it is held."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StackError(f"{self._file.parent} cannot be used: {error.strerror}; choose another folder with --data-dir") from error
        owner = os.read(handle, 32).decode(errors="replace").strip()
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise StackError(
                f"{self._file.parent} is in use by another stack (pid {owner or 'not known'}); "
                "stop that one, or choose another folder with --data-dir"
            ) from None
        self._handle = handle
        _write(handle, f"{os.getpid()}\n")
        return not owner

    def release(self) -> None:
        """Give the lock back. The file stays: removing it could part a later owner from the lock they believe to hold."""
        if self._handle is not None:
            _write(self._handle, "")
            os.close(self._handle)
            self._handle = None


def _write(handle: int, text: str) -> None:
    os.ftruncate(handle, 0)
    os.pwrite(handle, text.encode(), 0)

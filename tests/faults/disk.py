"""A disk on which one call goes wrong: the process dies in it, the power goes with all that was not flushed, or no space is left."""

import builtins
import errno
import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any
from unittest import mock

_DEATH = 86


class Fault(StrEnum):
    """What happens at the chosen call."""

    KILL = "kill"
    """The process is gone before the call."""
    TORN = "torn"
    """The process is gone in mid-call: half of the bytes are written."""
    POWER = "power"
    """The machine is gone, and with it every byte, name and rename that was not flushed."""
    FULL = "full"
    """From this call on nothing is left that needs space."""


NEEDS_SPACE = frozenset({"create", "write", "fsync", "mkdir", "rename", "replace", "link"})
END = "end"
"""What comes after the last call."""
CHANGES = ("mkdir", "rename", "replace", "link", "unlink", "rmdir", "fsync")


def strikes(call: str) -> list[Fault]:
    """What can happen at such a call."""
    torn = [Fault.TORN] if call == "write" else []
    return [Fault.KILL, Fault.POWER, *torn, *([Fault.FULL] if call in NEEDS_SPACE else [])]


@dataclass
class Disk:
    """Counts the calls that change files; the one of number `at`, from 0, meets its fault."""

    fault: Fault | None = None
    at: int = -1
    calls: list[str] = field(default_factory=list)
    unflushed: list[tuple[str, Callable[[], None]]] = field(default_factory=list)
    """What a loss of power undoes, oldest first: what flushes it, and how it is undone."""

    def strike(self, call: str, midway: Callable[[], None] | None = None) -> None:
        """To be told of each call before it is made."""
        number = len(self.calls)
        self.calls.append(call)
        if self.fault is Fault.FULL and 0 <= self.at <= number and call in NEEDS_SPACE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if number != self.at or self.fault in {None, Fault.FULL}:
            return
        if self.fault is Fault.TORN and midway:
            midway()
        if self.fault is Fault.POWER:
            for _, undo in reversed(self.unflushed):
                undo()
        os._exit(_DEATH)

    def flushed(self, what: str) -> None:
        self.unflushed = [(by, undo) for by, undo in self.unflushed if by != what]


def dies(deed: Callable[[], object], fault: Fault, at: int) -> bool:
    """Does the deed in a process of its own, in which the fault strikes, at the latest just after it. Whether it died of it."""
    child = os.fork()
    if child == 0:
        with suppress(BaseException), calls_watched(Disk(fault, at)) as disk:
            deed()
            disk.strike(END)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == _DEATH


@contextmanager
def calls_watched(disk: Disk) -> Iterator[Disk]:
    """While inside, every change of a file is a call of `disk`."""
    with mock.patch.multiple(os, **{name: _watched(disk, name, getattr(os, name)) for name in CHANGES}), _files_watched(disk):
        yield disk


def _watched(disk: Disk, name: str, really: Any) -> Any:
    def call(*arguments: Any, **named: Any) -> Any:
        disk.strike(name)
        undo = _undo(name, *arguments) if disk.fault is Fault.POWER else None
        done = really(*arguments, **named)
        if name == "fsync":
            disk.flushed(os.readlink(f"/proc/self/fd/{arguments[0]}"))
        elif undo:
            disk.unflushed.append(undo)
        return done

    return call


def _undo(name: str, *paths: Any) -> tuple[str, Callable[[], None]] | None:
    """How a change of names is undone, and which folder's flush makes it last. Removals last at once: the harder case for us."""
    last = Path(paths[-1]) if name in {"rename", "replace", "link"} else Path(paths[0]) if name == "mkdir" else None
    if last is None:
        return None
    if name == "mkdir":
        return str(last.parent), lambda: shutil.rmtree(last, ignore_errors=True)
    if name == "link":
        return str(last.parent), lambda: _really["unlink"](last)
    before = last.read_bytes() if last.is_file() else None

    def back() -> None:
        _really["rename"](last, paths[0])
        if before is not None:
            last.write_bytes(before)

    return str(last.parent), back


_really = {name: getattr(os, name) for name in CHANGES}


@contextmanager
def _files_watched(disk: Disk) -> Iterator[None]:
    really = io.open

    def open_(file: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        if not set(mode) & set("wax+"):
            return really(file, mode, *arguments, **named)
        disk.strike("create")
        opened = really(file, mode, *arguments, **named)
        if disk.fault is Fault.POWER:
            descriptor, folder = os.dup(opened.fileno()), os.open(Path(file).parent, os.O_RDONLY)
            disk.unflushed.append((os.readlink(f"/proc/self/fd/{folder}"), lambda: _unlink(Path(file).name, folder)))
            disk.unflushed.append((os.readlink(f"/proc/self/fd/{descriptor}"), lambda: os.ftruncate(descriptor, 0)))
        return _File(disk, opened)

    with mock.patch.object(io, "open", open_), mock.patch.object(builtins, "open", open_):
        yield


def _unlink(name: str, folder: int) -> None:
    with suppress(FileNotFoundError):
        _really["unlink"](name, dir_fd=folder)


class _File:
    """An open file whose writes are calls of the disk."""

    def __init__(self, disk: Disk, file: Any) -> None:
        self._disk, self._file = disk, file

    def write(self, content: bytes) -> int:
        def half() -> None:
            self._file.write(content[: len(content) // 2])
            self._file.flush()

        self._disk.strike("write", half)
        return int(self._file.write(content))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "_File":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

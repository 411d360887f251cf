"""Which processes of this machine belong to a stack, and whether they still run. Read from /proc, so on Linux only."""

import contextlib
import os
from pathlib import Path

from client import broker


def below(pid: int) -> dict[int, str]:
    """Every process below this one, by pid, with its command. What ends meanwhile is left out."""
    found: dict[int, str] = {}
    waiting = [pid]
    while waiting:
        for child in children(waiting.pop()):
            with contextlib.suppress(OSError):
                found[child] = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                waiting.append(child)
    return found


def children(pid: int) -> list[int]:
    """Of all its threads, the oldest first."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, task.read_text().split())
    return found


def parent(pid: int) -> int:
    """Of a process; 0 where it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def of_folder(data_dir: Path) -> list[int]:
    """Processes on this machine that belong to the folder: by their environment, or (Valkey overwrites its own) by the socket."""
    found, socket = [], str(broker.socket_for(data_dir)).encode()
    for entry in Path("/proc").iterdir():
        # Processes come and go, and others' may not be looked at.
        with contextlib.suppress(OSError):
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            if str(data_dir).encode() in (entry / "environ").read_bytes() or socket in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found

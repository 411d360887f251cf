"""Bits through the real service: jobs are interrupted one to five times, in four ways, and end with the weights of an undisturbed run."""

import signal
import time
from collections.abc import Callable, Mapping
from random import Random
from typing import Final

from sqlalchemy import select

from contract.job import TERMINAL, JobState
from contract.store.tables import jobs, workers
from tests import processes
from tests.faults.client import Client
from tests.faults.databases import Kind
from tests.faults.kinds import KINDS
from tests.faults.report import Report
from tests.faults.rig import Rig, kill, rigged
from tests.faults.storms import logged, settle, undisturbed
from tests.up import Json

LONGER: Final = {kind: {**spec, "epochs": 40} for kind, spec in KINDS.items()}
"""The same jobs, long enough to be met in the middle several times."""
MOST_INTERRUPTIONS: Final = 5
_PATIENCE_SECONDS: Final = 1800.0
_WAVES: Final = 4
"""How often a job that was done before it could be interrupted is replaced by another: on a busy machine some are."""


def bits_served(scale: int, seed: int, database: Kind) -> Report:
    """So many jobs, of each kind in turn."""
    report, rng, began = Report(f"bits served, {database}", seed=seed, jobs=scale, trials=scale), Random(seed), time.monotonic()
    with rigged(database, workers=2) as rig, logged() as log:
        rig.start()
        weights = undisturbed(rig, LONGER)
        with Client(lambda: rig.up.url, log, LONGER) as client:
            kinds = [list(LONGER)[number % len(LONGER)] for number in range(scale)]
            for wave in range(_WAVES):
                made = {client.submit(kind, f"key-{wave}-{number}"): kind for number, kind in enumerate(kinds)}
                storm = _Storm(rig, client, report, rng, list(made))
                rig.until(storm.has_passed, "the end of every job that is interrupted", _PATIENCE_SECONDS)
                kinds = [made[job_id] for job_id in storm.uninterrupted()]
            report.violations += [f"unproved: no {kind} job was interrupted before it ended" for kind in kinds]
            settle(rig, report, client, weights, log)
    report.seconds = time.monotonic() - began
    return report


class _Storm:
    """Which jobs are to be interrupted, how, and how often still."""

    def __init__(self, rig: Rig, client: Client, report: Report, rng: Random, made: list[str]) -> None:
        self._rig, self._client, self._report, self._rng = rig, client, report, rng
        self._plans = {job_id: rng.choices(list(_WAYS), k=rng.randint(1, MOST_INTERRUPTIONS)) for job_id in made}
        self._met_at: dict[str, int] = {}
        """By job, how many checkpoints it had when it was last interrupted: the next time is when it has more."""

    def has_passed(self) -> bool:
        """Interrupt what can be interrupted now; whether every job has ended."""
        for job_id, row in self._rows().items():
            if self._plans[job_id] and row["state"] == JobState.RUNNING and row["checkpoint_seq"] > self._met_at.get(job_id, 0):
                time.sleep(self._rng.uniform(0, 0.15))
                way = self._plans[job_id].pop()
                if _WAYS[way](self, job_id, row):
                    self._report.add(way)
                    self._met_at[job_id] = row["checkpoint_seq"]
        return all(row["state"] in TERMINAL for row in self._rows().values())

    def uninterrupted(self) -> list[str]:
        """Jobs that prove nothing, since they ended before anything was done to them."""
        return [job_id for job_id in self._plans if job_id not in self._met_at]

    def kill_trainer(self, _: str, row: Mapping[str, object]) -> bool:
        return any(self._harm(pid) for pid in processes.children(self._supervisor(row)))

    def kill_supervisor(self, _: str, row: Mapping[str, object]) -> bool:
        return self._harm(self._supervisor(row))

    def drain(self, _: str, row: Mapping[str, object]) -> bool:
        """SIGTERM to the worker: its job is released with a checkpoint, and goes on elsewhere."""
        return self._harm(processes.parent(self._supervisor(row)), signal.SIGTERM)

    def pause(self, job_id: str, _: Mapping[str, object]) -> bool:
        if not self._client.ask(job_id, "pause"):
            return False
        self._rig.until(lambda: self._client.job(job_id)["status"] != "pausing", "the rest of a job that was asked to pause")
        return self._client.ask(job_id, "resume")

    def _harm(self, pid: int, number: signal.Signals = signal.SIGKILL) -> bool:
        """Only a process that is the stack's now: an orphan's parent is the machine's first process, and a pid may be given anew."""
        return pid in self._rig.processes() and kill(pid, number)

    def _rows(self) -> dict[str, Json]:
        query = select(jobs.c.id, jobs.c.state, jobs.c.owner, jobs.c.checkpoint_seq).where(jobs.c.id.in_(self._plans))
        with self._rig.store.read() as connection:
            return {row["id"]: dict(row) for row in connection.execute(query).mappings()}

    def _supervisor(self, row: Mapping[str, object]) -> int:
        """The process that owned the job a moment ago; 0 where it is gone."""
        with self._rig.store.read() as connection:
            return connection.execute(select(workers.c.pid).where(workers.c.id == row["owner"])).scalar_one_or_none() or 0


_WAYS: Final[dict[str, Callable[[_Storm, str, Mapping[str, object]], bool]]] = {
    "trainer killed": _Storm.kill_trainer,
    "supervisor killed": _Storm.kill_supervisor,
    "worker drained": _Storm.drain,
    "paused and resumed": _Storm.pause,
}

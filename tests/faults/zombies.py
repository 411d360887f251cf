"""Owners that sleep for longer than their lease and wake up in another's job: whether anything they still write is accepted."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from sqlalchemy import Table, select

from contract.artifacts import LocalFolder
from contract.job import Job, JobState
from contract.spec import JobSpec
from contract.store import Store, jobs
from contract.store.tables import checkpoints, job_events, metrics, results
from contract.store.tables import jobs as job_rows
from service.reconciler import Reconciler
from tests.faults import ledger
from tests.faults.report import Report

TENANT = "default"
ROOT = Path(__file__).parents[2]
LEASE_SECONDS = 2.0
WORKERS = 4
PATIENCE_SECONDS = 30.0
AMIDST = "amidst a transaction"
MOMENTS = {
    "after claim": "epoch checkpoint",
    "before renew": "epoch checkpoint epoch",
    "before put": "epoch checkpoint epoch checkpoint",
    "before record": "epoch checkpoint epoch checkpoint",
    "before succeed": "epoch checkpoint epoch",
    "before fail": "epoch checkpoint diverge",
    "before crash": "epoch checkpoint segfault",
    "before release": "epoch wait",
    AMIDST: "epoch checkpoint epoch",
}
"""When an owner falls asleep, and what its job's trainer does. A `wait` ends when the client cancels."""


@dataclass
class Worker:
    """A supervisor's process, and what it told of its writes after it woke."""

    process: subprocess.Popen[str]
    id: str
    told: list[str] = field(default_factory=list)

    @property
    def is_asleep(self) -> bool:
        return Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"

    def wake(self) -> None:
        self.process.send_signal(signal.SIGCONT)


@dataclass(frozen=True)
class Duel:
    """One job, whose first owner sleeps. It is woken once the job has ended or, `early`, while its next owner is at work."""

    moment: str
    freeze_trainer: bool
    early: bool


def storm(url: str, folder: Path, number: int, seed: int, *options: str) -> Report:
    """Put `number` owners to sleep, over the migrated database at `url`, with files in `folder`; the workers are given `options`."""
    report, chance, store = Report("zombies", seed=seed), random.Random(seed), Store(url)
    # Whoever sleeps amidst a transaction holds the write lock of all of SQLite: nobody could take its job.
    moments = [moment for moment in MOMENTS if not (store.is_sqlite and moment == AMIDST)]
    duels = [Duel(moments[each % len(moments)], chance.random() < 0.3, chance.random() < 0.4) for each in range(number)]
    chance.shuffle(duels)
    # One worker stays awake, or nobody would take the jobs of the others.
    with _stack(url, store, folder, options) as crew, ThreadPoolExecutor(WORKERS - 1) as seconds:
        fought = seconds.map(lambda duel: _fight(duel, store, folder / "artifacts", crew), duels)
        for duel, found in zip(duels, fought, strict=True):
            report.add(f"asleep {duel.moment}")
            report.violations += found
        report.violations += _serve_again(store, crew)
    report.jobs = number + WORKERS
    report.violations += ledger.unfinished(store) + ledger.violations(store)
    store.close()
    return report


@contextmanager
def _stack(url: str, store: Store, folder: Path, options: tuple[str, ...]) -> Iterator[list[Worker]]:
    """Workers, each in a process of its own, and a reconciler here."""
    stopping = threading.Event()
    artifacts = LocalFolder(folder / "artifacts")
    reconciler = Reconciler(store, artifacts, lambda _: None, lease_seconds=LEASE_SECONDS, every_seconds=0.1, stopping=stopping)
    crew = [_hire(url, folder, number, options) for number in range(WORKERS)]
    reconciler.start()
    try:
        for worker in crew:
            assert worker.process.stdout is not None
            worker.id = worker.process.stdout.readline().strip()
            threading.Thread(target=_hear, args=[worker], daemon=True).start()
        yield crew
    finally:
        for worker in crew:
            worker.process.send_signal(signal.SIGCONT)
            worker.process.terminate()
        for worker in crew:
            _end(worker.process)
        stopping.set()
        reconciler.join(10)


def _hire(url: str, folder: Path, number: int, options: tuple[str, ...]) -> Worker:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RIDGELINE_")}
    environment |= {
        "PYTHONPATH": str(ROOT),
        "RIDGELINE_PARENT_PID": str(os.getpid()),
        "RIDGELINE_DATABASE_URL": url,
        "RIDGELINE_ARTIFACTS_FOLDER": str(folder / "artifacts"),
        "RIDGELINE_SCRATCH_FOLDER": str(folder / f"scratch-{number}"),
        "RIDGELINE_LEASE_SECONDS": str(LEASE_SECONDS),
        "RIDGELINE_RENEW_SECONDS": "0.1",
        "RIDGELINE_POLL_SECONDS": "0.1",
        "RIDGELINE_TRAINER_STOP_SECONDS": "5",
    }
    log = (folder / f"worker-{number}.log").open("ab")
    command = [sys.executable, "-m", "tests.faults.supervise", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment, cwd=ROOT)
    return Worker(process, id="")


def _hear(worker: Worker) -> None:
    assert worker.process.stdout is not None
    for line in worker.process.stdout:
        worker.told.append(line.strip())


def _end(process: "subprocess.Popen[str]") -> None:
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _fight(duel: Duel, store: Store, artifacts: Path, crew: list[Worker]) -> list[str]:
    """One duel from its job's submission to its end; what the sleeper was allowed to do and should not have been."""
    job_id, sleeper = _fall_asleep(duel, store, crew)
    if duel.moment == AMIDST:
        sleep(LEASE_SECONDS * 1.5)  # its row is locked, so nobody takes the job; it only misses its lease
        sleeper.wake()
        _until(store, job_id, lambda job: job.is_terminal)
        return []
    _until(store, job_id, lambda job: job.is_terminal or (duel.early and job.fence >= 3))
    before = _kept(store, job_id, artifacts)
    sleeper.wake()
    _await(lambda: f"{job_id} over" in sleeper.told, f"the end of the attempt that slept {duel.moment}")
    told = [line.split()[1:] for line in sleeper.told if line.startswith(f"{job_id} ")]
    found = [f"{job_id}: asleep {duel.moment}, its {deed[0]} was accepted" for deed in told if deed[-1] == "accepted"]
    if not any(deed[-1] == "refused" for deed in told):
        found.append(f"{job_id}: asleep {duel.moment}, its owner wrote nothing once it woke, so nothing was tried")
    if before["state"] is not None and _kept(store, job_id, artifacts) != before:
        found.append(f"{job_id}: changed after its end, when an owner asleep {duel.moment} woke")
    _until(store, job_id, lambda job: job.is_terminal)
    return found


def _fall_asleep(duel: Duel, store: Store, crew: list[Worker]) -> tuple[str, Worker]:
    """A job and its first owner, asleep at the duel's moment."""
    metadata = {"script": MOMENTS[duel.moment], "freeze": duel.moment, "freeze_trainer": "yes" if duel.freeze_trainer else ""}
    spec = JobSpec.model_validate({"dataset": {"kind": "fake"}, "metadata": metadata})
    job_id = jobs.submit(store, TENANT, spec).job.id
    if duel.moment == "before release":
        _until(store, job_id, lambda job: job.owner is not None)
        jobs.cancel(store, TENANT, job_id)
    # By its own word: the job may be another's by the time that we look, and that one asleep for another duel.
    asleep: list[Worker] = []

    def fell() -> bool:
        asleep[:] = [worker for worker in crew if f"{job_id} asleep" in worker.told and worker.is_asleep]
        return bool(asleep)

    _await(fell, f"{job_id} to find its owner asleep {duel.moment}")
    (sleeper,) = asleep
    return job_id, sleeper


def _kept(store: Store, job_id: str, artifacts: Path) -> dict[str, Any]:
    """All that is stored of a job; what its first owner still puts under its own fence is garbage and left out."""
    tables: tuple[Table, ...] = (job_events, metrics, results, checkpoints)
    with store.read() as connection:
        row = dict(connection.execute(select(job_rows).where(job_rows.c.id == job_id)).mappings().one())
        stored = {table.name: sorted(map(repr, connection.execute(select(table).where(table.c.job_id == job_id)))) for table in tables}
    files = {
        str(file): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in (artifacts / job_id).rglob("*")
        if file.is_file() and file.relative_to(artifacts / job_id).parts[0] != "1"
    }
    return {"state": row["state"] if row["finished_at"] else None, "row": row, "files": files, **stored}


def _serve_again(store: Store, crew: list[Worker]) -> list[str]:
    """Whether each worker that slept takes a job again: one is submitted for each, and ends only when all are taken."""
    spec = JobSpec.model_validate({"dataset": {"kind": "fake"}, "metadata": {"script": "wait"}})
    waiting = [jobs.submit(store, TENANT, spec).job.id for _ in crew]
    owners = [_until(store, job_id, lambda job: job.state is JobState.RUNNING).owner for job_id in waiting]
    for job_id in waiting:
        jobs.cancel(store, TENANT, job_id)
    for job_id in waiting:
        _until(store, job_id, lambda job: job.is_terminal)
    return [] if set(owners) == {worker.id for worker in crew} else [f"only {set(owners)} of {len(crew)} workers serve again"]


def _until(store: Store, job_id: str, condition: Callable[[Job], bool]) -> Job:
    found: list[Job] = []

    def came() -> bool:
        found[:] = [jobs.get(store, TENANT, job_id)]
        return condition(found[0])

    _await(came, job_id)
    return found[0]


def _await(condition: Callable[[], bool], what: str) -> None:
    end = monotonic() + PATIENCE_SECONDS
    while not condition():
        if monotonic() > end:
            raise AssertionError(f"waited {PATIENCE_SECONDS:g} s in vain for {what}")
        sleep(0.02)

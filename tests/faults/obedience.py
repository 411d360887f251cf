"""Cancels sent to jobs that a real worker is at: whether the trainer is at work no more once the job is called cancelled."""

import random
import sys
from pathlib import Path
from time import monotonic, sleep

from contract.errors import StateConflictError
from contract.job import Job, JobState
from contract.settings import Settings
from contract.spec import JobSpec
from contract.store import Store, jobs
from tests.faults import ledger
from tests.faults.report import Report
from worker.supervisor import Supervisor

TENANT = "default"
TRAINER = (sys.executable, str(Path(__file__).parents[1] / "worker" / "scripted_trainer.py"))
PATIENCE_SECONDS = 30.0
SCRIPTS = ("work", "epoch work", "epoch checkpoint", "epoch checkpoint nap epoch checkpoint", "nap epoch")


def storm(url: str, folder: Path, number: int, seed: int) -> Report:
    """Cancel `number` jobs, each at a moment drawn from the seed, on a worker over the migrated database at `url`."""
    report, chance, store = Report("obedience", seed=seed), random.Random(seed), Store(url)
    settings = Settings(
        database_url=url,
        artifacts_folder=folder / "artifacts",
        scratch_folder=folder / "scratch",
        renew_seconds=0.05,
        poll_seconds=0.02,
        trainer_stop_seconds=5,
    )
    supervisor = Supervisor(settings, trainer_command=TRAINER)
    supervisor.start()
    try:
        for index in range(number):
            report.violations += _cancelled(store, folder / f"trace-{index}", chance, report)
    finally:
        supervisor.close()
    report.violations += ledger.unfinished(store) + ledger.violations(store)
    store.close()
    return report


def _cancelled(store: Store, trace: Path, chance: random.Random, report: Report) -> list[str]:
    trace.touch()
    job = _submit(store, chance.choice(SCRIPTS), trace)
    sleep(chance.choice((0.0, 0.02, 0.1)) * chance.random())
    try:
        jobs.cancel(store, TENANT, job.id)
    except StateConflictError:
        report.add("too late")
        state = jobs.get(store, TENANT, job.id).state
        return [] if state is JobState.SUCCEEDED else [f"{job.id}: a cancel was refused, and it is {state}"]
    if (ended := _ended(store, job)).state is not JobState.CANCELLED:
        return [f"{job.id}: a cancel was taken, and it is {ended.state}"]
    report.add("cancelled")
    marks = trace.stat().st_size
    # The same trainer serves another job before the marks are counted again, so it had time to betray itself.
    _ended(store, _submit(store, "nap epoch", trace))
    return [] if trace.stat().st_size == marks else [f"{job.id}: its trainer was at work after it was cancelled"]


def _submit(store: Store, script: str, trace: Path) -> Job:
    spec = {"dataset": {"kind": "fake"}, "metadata": {"script": script, "trace": str(trace)}}
    return jobs.submit(store, TENANT, JobSpec.model_validate(spec)).job


def _ended(store: Store, job: Job) -> Job:
    end = monotonic() + PATIENCE_SECONDS
    while not (found := jobs.get(store, TENANT, job.id)).is_terminal:
        assert monotonic() < end, f"{job.id} is still {found.state}: {found.status_reason}"
        sleep(0.01)
    return found

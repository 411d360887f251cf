"""A cancel that meets another deed at the same moment, in every state: whether exactly one of them wins, and both know which."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import update

from contract import lifecycle
from contract.errors import LostLeaseError, StateConflictError
from contract.events import FailureCode, File
from contract.job import Job, JobState
from contract.lifecycle import Actor, Failure
from contract.spec import JobSpec
from contract.store import Store, checkpoints, jobs, leases, rows, sweep, tables
from contract.store.leases import Lease
from contract.store.rows import Note
from tests.faults import ledger
from tests.faults.report import Report

TENANT = "default"
SPEC = JobSpec.model_validate({"dataset": {"kind": "fake"}})
FILE = File(name="model.safetensors", size_bytes=5, sha256="0" * 64)
FAILURE = Failure(FailureCode.DIVERGED, "loss became nan at step 3", "try a lower lr")
_SECONDS = 60.0
_OWNERS = ("renew", "checkpoint", "succeed", "fail", "release", "crash")
_S = JobState
RIVALS = {
    _S.QUEUED: ("claim", "time_out", "pause", "cancel"),
    _S.RUNNING: (*_OWNERS, "expire", "pause", "cancel"),
    _S.PAUSING: (*_OWNERS, "expire", "resume", "cancel"),
    _S.PAUSED: ("resume", "cancel"),
    _S.CANCELLING: (*_OWNERS, "expire", "cancel"),
}
"""What a cancel may meet, by the state in which the job is then."""
Deed = Callable[[], Job | None]


def storm(url: str, number: int, seed: int) -> Report:
    """Race `number` cancels over the migrated database at `url`: against each rival in each state, in an order drawn from the seed."""
    report, chance, store = Report("races", seed=seed), random.Random(seed), Store(url)
    every = [(state, name) for state, names in RIVALS.items() for name in names]
    races = [race for _ in range(number // len(every) + 1) for race in chance.sample(every, len(every))]
    with ThreadPoolExecutor(3) as runners:
        for state, name in races[:number]:
            # In a third of the races of a held job the reconciler takes part, and finds its lease run out.
            third = state in {_S.RUNNING, _S.PAUSING, _S.CANCELLING} and chance.random() < 1 / 3
            names = ["cancel", name, *(["expire"] if third else [])]
            job = _brought_to(store, state)
            if "expire" in names or name == "time_out":
                _lapse(store, job.id)
            outcomes = _race(runners, [_deed(store, job, each) for each in names], chance)
            report.add(state.value)
            report.violations += [
                f"{job.id}, {' and '.join(names)} when {state}: {found}" for found in _judged(store, job, names, outcomes)
            ]
    report.jobs = number
    report.violations += ledger.unfinished(store) + ledger.violations(store)
    store.close()
    return report


def _brought_to(store: Store, state: JobState) -> Job:
    job = jobs.submit(store, TENANT, SPEC).job
    if state in {_S.RUNNING, _S.PAUSING, _S.CANCELLING}:
        claimed = leases.claim(store, "worker", "cpu", _SECONDS, job.id)
        assert claimed is not None
        job = claimed
    if state in {_S.PAUSING, _S.PAUSED}:
        job = _asked(store, job.id, lifecycle.pause)
    if state is _S.CANCELLING:
        job = jobs.cancel(store, TENANT, job.id)[0]
    return job


def _lapse(store: Store, job_id: str) -> None:
    with store.write() as connection:
        connection.execute(update(tables.jobs).where(tables.jobs.c.id == job_id).values(lease_until=1.0, queue_deadline_at=1.0))


def _deed(store: Store, job: Job, name: str) -> Deed:
    lease = Lease(job.id, job.fence)
    draft = checkpoints.Draft(1, 10, {"val.loss": 0.5}, False, f"{job.id}/{job.fence}/step-10", [FILE])
    deeds: dict[str, Deed] = {
        "cancel": lambda: jobs.cancel(store, TENANT, job.id)[0],
        "claim": lambda: leases.claim(store, "worker", "cpu", _SECONDS, job.id),
        "renew": lambda: leases.renew(store, lease, _SECONDS, notes=[Note("epoch", "epoch 1", {"epoch": 1})], batch=1),
        "checkpoint": lambda: checkpoints.record(store, lease, draft),
        "succeed": lambda: leases.succeed(store, lease, {}),
        "fail": lambda: leases.fail(store, lease, FAILURE),
        "release": lambda: leases.release(store, lease, "shutdown"),
        "crash": lambda: leases.crash(store, lease, "killed"),
        "expire": lambda: next(iter(sweep.expire(store)), None),
        "time_out": lambda: next(iter(sweep.time_out(store)), None),
        "pause": lambda: _asked(store, job.id, lifecycle.pause),
        "resume": lambda: _asked(store, job.id, lifecycle.resume),
    }
    return deeds[name]


def _asked(store: Store, job_id: str, deed: Callable[[Job, float], Job]) -> Job:
    with store.write() as connection:
        before, now = rows.lock(connection, job_id), store.now(connection)
        return rows.save(connection, before, deed(before, now), Actor.CLIENT, now)


def _race(runners: ThreadPoolExecutor, deeds: list[Deed], chance: random.Random) -> list[Job | Exception | None]:
    """What came of deeds done at once: the job after it, the refusal, or None where there was nothing to do any more."""
    start = threading.Barrier(len(deeds))
    handicap = [chance.choice((0.0, 0.0, 0.0005, 0.001)) for _ in deeds]

    def run(deed: Deed, seconds: float) -> Job | Exception | None:
        start.wait()
        threading.Event().wait(seconds)
        try:
            return deed()
        except (LostLeaseError, StateConflictError) as refusal:
            return refusal

    return list(runners.map(run, deeds, handicap))


def _judged(store: Store, job: Job, names: list[str], outcomes: list[Job | Exception | None]) -> list[str]:
    """The job brought to its end as its owner or its client would, and what is wrong with that end."""
    after = jobs.get(store, TENANT, job.id)
    if after.is_held:
        after = leases.release(store, Lease(after.id, after.fence), "stopped on request")
    was_cancelled = isinstance(outcomes[0], Job)
    found = []
    if was_cancelled is not (after.state is _S.CANCELLED):
        found.append(f"the cancel was {'taken' if was_cancelled else 'refused'}, and the job is {after.state}")
    for name, outcome in zip(names[1:], outcomes[1:], strict=True):
        # Where a deed ended the job, that is how it ended.
        if isinstance(outcome, Job) and outcome.is_terminal and outcome.state is not after.state:
            found.append(f"{name} left it {outcome.state}, and it is {after.state}")
    return found

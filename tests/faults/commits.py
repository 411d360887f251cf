"""Deeds whose COMMIT is cut on the wire to PostgreSQL: whether whoever repeats them, as the product does, mistakes the outcome."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from sqlalchemy import func, select

from contract.errors import LostLeaseError, StoreUnavailableError
from contract.events import FailureCode, File
from contract.job import JobState
from contract.lifecycle import Failure
from contract.lifecycle import Report as Progress
from contract.spec import JobSpec
from contract.store import Store, checkpoints, jobs, leases, metrics, tables
from contract.store.leases import Lease
from contract.store.rows import Note
from tests.faults import ledger
from tests.faults.proxy import Cut, Proxy
from tests.faults.report import Report

TENANT = "default"
SPEC = JobSpec.model_validate({"dataset": {"kind": "fake"}})
FILE = File(name="model.safetensors", size_bytes=5, sha256="0" * 64)
FAILURE = Failure(FailureCode.DIVERGED, "loss became nan at step 3", "try a lower lr")
SAMPLE = metrics.Sample(7, "epoch", 1, {"train.loss": 0.5})
_SECONDS = 60.0


@dataclass
class Trial:
    """One deed to one job, which is found by its idempotency key: a client whose first answer was lost knows no more of it."""

    key: str
    job_id: str = ""
    lease: Lease | None = None
    tried: bool = False

    @property
    def owner(self) -> str:
        return f"owner of {self.key}"

    @property
    def own(self) -> Lease:
        assert self.lease is not None
        return self.lease

    def draft(self) -> checkpoints.Draft:
        prefix = f"{self.own.job_id}/{self.own.fence}/step-10"
        return checkpoints.Draft(epoch=1, step=10, metrics={"val.loss": 0.5}, interim=False, prefix=prefix, files=[FILE])


@dataclass(frozen=True)
class Deed:
    """What is done, to a job that is first brought to `begins_as`, and what must be true after it whenever its COMMIT was cut."""

    begins_as: JobState | None
    do: Callable[[Store, Trial], object]
    leaves: Mapping[str, Any]


def _claim(store: Store, trial: Trial) -> None:
    """As worker.supervisor: what it may hold without knowing goes back before it claims again."""
    if trial.tried:
        leases.give_back(store, trial.owner)
    trial.tried = True
    leases.claim(store, trial.owner, "cpu", _SECONDS, trial.job_id)


def _tell(store: Store, trial: Trial) -> None:
    leases.renew(store, trial.own, _SECONDS, Progress(epoch=1, step=7), [Note("epoch", "epoch 1", {"epoch": 1})], [SAMPLE], batch=1)


DEEDS = {
    "submit": Deed(None, lambda store, trial: jobs.submit(store, TENANT, SPEC, trial.key), {"jobs": 1, "state": "queued", "status": 1}),
    "claim": Deed(JobState.QUEUED, _claim, {"state": "running", "crash_count": 0}),
    "renew": Deed(JobState.RUNNING, _tell, {"state": "running", "epoch": 1, "metrics": 1, "step": 7}),
    "checkpoint": Deed(
        JobState.RUNNING,
        lambda store, trial: checkpoints.record(store, trial.own, trial.draft()),
        {"state": "running", "checkpoint": 1, "checkpoints": 1, "checkpoint_seq": 1},
    ),
    "succeed": Deed(JobState.RUNNING, lambda store, trial: leases.succeed(store, trial.own, {}), {"state": "succeeded", "results": 1}),
    "fail": Deed(JobState.RUNNING, lambda store, trial: leases.fail(store, trial.own, FAILURE), {"state": "failed", "results": 0}),
    "release": Deed(
        JobState.RUNNING,
        lambda store, trial: leases.release(store, trial.own, "shutdown"),
        {"state": "queued", "release_count": 1, "crash_count": 0},
    ),
    "crash": Deed(JobState.RUNNING, lambda store, trial: leases.crash(store, trial.own, "killed"), {"state": "queued", "crash_count": 1}),
    "cancel": Deed(JobState.RUNNING, lambda store, trial: jobs.cancel(store, TENANT, trial.job_id), {"state": "cancelling", "status": 3}),
}


def storm(url: str, number: int, seed: int, deeds: Sequence[str] = tuple(DEEDS)) -> Report:
    """Cut `number` COMMITs to the migrated PostgreSQL database at `url`: each deed at each moment, in an order drawn from the seed."""
    report, chance = Report("commits", seed=seed), random.Random(seed)
    rounds = number // (len(deeds) * len(Cut)) + 1
    every = [*product(deeds, Cut)]
    pairs = [pair for _ in range(rounds) for pair in chance.sample(every, len(every))]
    plain = Store(url)
    with Proxy(url) as proxy:
        over_wire = Store(proxy.url)
        for index, (name, cut) in enumerate(pairs[:number]):
            report.violations += [f"{name}, cut {cut}: {found}" for found in _try(plain, over_wire, proxy, DEEDS[name], cut, index)]
            report.add(f"cut {cut}")
        over_wire.close()
        if len(proxy.cuts) != number:
            report.violations.append(f"{len(proxy.cuts)} of {number} COMMITs were cut")
    report.jobs = number
    report.violations += ledger.violations(plain)
    plain.close()
    return report


def _try(plain: Store, over_wire: Store, proxy: Proxy, deed: Deed, cut: Cut, index: int) -> list[str]:
    """One deed over a wire that is cut at its first COMMIT, and what is wrong after it."""
    trial = _prepared(plain, f"key-{index}", deed.begins_as)
    armed = [cut]
    proxy.decide = lambda: armed.pop() if armed else None
    _steadily(lambda: deed.do(over_wire, trial))
    found = _found(plain, trial.key)
    return [f"{name} is {found.get(name, 0)} and should be {value}" for name, value in deed.leaves.items() if found.get(name, 0) != value]


def _prepared(store: Store, key: str, state: JobState | None) -> Trial:
    trial = Trial(key)
    if state is not None:
        trial.job_id = jobs.submit(store, TENANT, SPEC, key).job.id
    if state is JobState.RUNNING:
        claimed = leases.claim(store, trial.owner, "cpu", _SECONDS, trial.job_id)
        assert claimed is not None
        trial.lease = Lease(claimed.id, claimed.fence)
    return trial


def _steadily(deed: Callable[[], object]) -> None:
    """As worker.attempt and the client's library do: again while the database is away. One whose lease is gone drops it."""
    for _ in range(5):
        try:
            deed()
        except StoreUnavailableError:
            continue
        except LostLeaseError:
            return
        return
    raise AssertionError("the database stayed away")


def _found(store: Store, key: str) -> dict[str, Any]:
    """The job's row, with the number of its events of each type and of its rows in each other table."""
    jobs_, events = tables.jobs, tables.job_events
    with store.read() as connection:
        rows = connection.execute(select(jobs_).where(jobs_.c.idempotency_key == key)).mappings().all()
        job_id = rows[0]["id"]
        kinds = connection.execute(select(events.c.type, func.count()).where(events.c.job_id == job_id).group_by(events.c.type)).all()
        counted = {
            table.name: connection.execute(select(func.count()).where(table.c.job_id == job_id)).scalar_one()
            for table in (tables.metrics, tables.checkpoints, tables.results)
        }
    return {**counted, **{kind: number for kind, number in kinds if kind != "epoch"}, "jobs": len(rows), **rows[0]}

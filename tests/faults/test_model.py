"""That the simulation's tables do what the real ones do: the same deeds at the same times, drawn from a seed, leave the same rows."""

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any, Final

import pytest

from contract.errors import LostLeaseError, StateConflictError
from contract.events import FailureCode
from contract.job import FIELDS, Job, JobState
from contract.lifecycle import Failure, Report
from contract.spec import JobSpec
from contract.store import Store, checkpoints, jobs, leases, sweep
from tests.faults.invariants import Judge, Lease
from tests.faults.model import LEASE_SECONDS, Tables

TENANT: Final = "default"
SPEC: Final = JobSpec.model_validate({"dataset": {"kind": "fake"}, "limits": {"max_runtime_seconds": 300, "max_queue_seconds": 150}})
FAILURE: Final = Failure(FailureCode.DIVERGED, "loss became nan", "try a lower lr")
SEEDS, DEEDS, JOBS = 8, 80, 3
NAMED_OTHERWISE: Final = {"checkpoint_id", "status_reason", "error", "resumes_on"}
"""What tells in words, or by an id of its own, what other columns say as well."""
COMPARED: Final = [name for name in FIELDS if name not in NAMED_OTHERWISE]


class Both:
    """The real store and its model, told the same."""

    def __init__(self, store: Store, random: Random, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store, self.random, self.clock = store, random, 1_000.0
        monkeypatch.setattr(Store, "now", lambda *_: self.clock)
        self.model = Tables(Judge())
        self.ids = [jobs.submit(store, TENANT, SPEC).job.id for _ in range(JOBS)]
        for job_id in self.ids:
            self.model.create(jobs.get(store, TENANT, job_id))
        self.leases: list[Lease] = []
        self.met: Counter[str] = Counter()

    def act(self) -> None:
        """One deed on both, by a client, the reconciler, or an owner whose lease may be long stale."""
        self.clock += self.random.choice([0.0, 0.5, 1.0, LEASE_SECONDS / 2, LEASE_SECONDS + 1])
        deed = self.random.choice(OWNERS + OTHERS if self.leases else OTHERS)
        outcomes = [_outcome(side) for side in getattr(self, f"_{deed}")()]
        assert outcomes[0] == outcomes[1], (deed, outcomes)
        self.met[f"{deed}: {outcomes[0]}"] += 1
        for job_id in self.ids:
            real, modelled = jobs.get(self.store, TENANT, job_id), self.model.jobs[job_id]
            assert _compared(real) == _compared(modelled), deed
            kept = [row.prefix for row in checkpoints.listed(self.store, real)]
            assert kept == [row.prefix for row in self.model.kept(job_id, self.clock)]
            assert (jobs.result(self.store, job_id) is not None) == self.model.has_result(job_id)

    def _lease(self) -> tuple[Lease, leases.Lease]:
        """Mostly the newest, now and then an old one."""
        lease = self.leases[-1] if self.random.random() < 0.7 else self.random.choice(self.leases)
        return lease, leases.Lease(lease.job_id, lease.fence)

    def _claim(self) -> "Sides":
        owner, job_id = self.random.choice(["w1", "w2"]), self.random.choice([None, *self.ids])

        def modelled() -> str | None:
            found = self.model.claim(owner, job_id, self.clock)
            if found:
                self.leases.append(found[1])
            return found[0].id if found else None

        def real() -> str | None:
            found = leases.claim(self.store, owner, "cpu", LEASE_SECONDS, job_id)
            return found.id if found else None

        return real, modelled

    def _give_back(self) -> "Sides":
        held = [job.owner for job in self.model.jobs.values()]
        owner = next((one for one in ("w1", "w2") if held.count(one) == 1), "w3")  # who holds two may give back either
        return (
            lambda: bool(leases.give_back(self.store, owner)),
            lambda: bool(self.model.give_back(owner, self.clock)),
        )

    def _renew(self) -> "Sides":
        lease, own = self._lease()
        report, batch = Report(epoch=self.random.randrange(9)), self.random.choice([None, 1, 2, 3])
        return (
            lambda: leases.renew(self.store, own, LEASE_SECONDS, report, batch=batch),
            lambda: self.model.renew(lease, report, batch, self.clock),
        )

    def _checkpoint(self) -> "Sides":
        lease, own = self._lease()
        prefix = f"{lease.job_id}/{lease.fence}/{self.random.randrange(20)}"
        self.model.bytes[prefix] = (0, 0)
        draft = checkpoints.Draft(0, 0, {}, False, prefix, [])
        return (
            lambda: checkpoints.record(self.store, own, draft),
            lambda: self.model.checkpoint(lease, prefix, self.clock),
        )

    def _succeed(self) -> "Sides":
        lease, own = self._lease()
        return (lambda: leases.succeed(self.store, own, {})), (lambda: self.model.succeed(lease, (0, 0), self.clock))

    def _fail(self) -> "Sides":
        lease, own = self._lease()
        return (lambda: leases.fail(self.store, own, FAILURE)), (lambda: self.model.fail(lease, FAILURE, self.clock))

    def _finish_cancel(self) -> "Sides":
        lease, own = self._lease()
        cancelling = [self.model.leases[job.id] for job in self.model.jobs.values() if job.state is JobState.CANCELLING]
        if cancelling and self.random.random() < 0.8:  # by chance alone it would hardly ever be the right owner's turn
            lease = cancelling[0]
            own = leases.Lease(lease.job_id, lease.fence)
        return (lambda: leases.finish_cancel(self.store, own)), (lambda: self.model.finish_cancel(lease, self.clock))

    def _release(self) -> "Sides":
        lease, own = self._lease()
        rest = self.random.choice([0.0, 15.0])
        return (lambda: leases.release(self.store, own, "released", rest)), (lambda: self.model.release(lease, rest, self.clock))

    def _crash(self) -> "Sides":
        lease, own = self._lease()
        code = self.random.choice([FailureCode.CRASH_LOOP, FailureCode.STALLED])
        return (lambda: leases.crash(self.store, own, "died", code)), (lambda: self.model.crash(lease, code, self.clock))

    def _ask(self, deed: str) -> "Sides":
        job_id = self.random.choice(self.ids)
        return (
            lambda: getattr(jobs, deed)(self.store, TENANT, job_id),
            lambda: getattr(self.model, deed)(job_id, self.clock),
        )

    def _cancel(self) -> "Sides":
        return self._ask("cancel")

    def _pause(self) -> "Sides":
        return self._ask("pause")

    def _resume(self) -> "Sides":
        return self._ask("resume")

    def _expire(self) -> "Sides":
        return (lambda: len(sweep.expire(self.store))), (lambda: self.model.expire(self.clock))

    def _time_out(self) -> "Sides":
        return (lambda: len(sweep.time_out(self.store))), (lambda: self.model.time_out(self.clock))

    def _ring(self) -> "Sides":
        return (lambda: [job.id for job in sweep.ring(self.store)]), (lambda: self.model.ring(self.clock))

    def _release_all(self) -> "Sides":
        return (lambda: len(sweep.release_all(self.store, "anew"))), (lambda: self.model.release_all(self.clock))


Sides = tuple[Callable[[], Any], Callable[[], Any]]
OWNERS: Final = [
    "renew",
    "renew",
    "checkpoint",
    "checkpoint",
    "checkpoint",
    "succeed",
    "fail",
    "finish_cancel",
    "finish_cancel",
    "release",
    "crash",
]
OTHERS: Final = ["claim"] * 5 + ["give_back", "cancel", "pause", "resume", "resume", "expire", "time_out", "ring", "release_all"]


def test_the_same_deeds_leave_the_same_rows_in_the_tables_and_in_their_model(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    met: Counter[str] = Counter()
    for seed in range(SEEDS):
        both = Both(store, Random(seed), monkeypatch)
        for _ in range(DEEDS):
            both.act()
        met += both.met
        _end_all(both)
    for deed in {*OWNERS, *OTHERS}:
        assert any(each.startswith(f"{deed}: ") and "Error" not in each for each in met), f"{deed} was never done"
    for deed in OWNERS:
        assert f"{deed}: LostLeaseError" in met, f"{deed} was never refused"


def _end_all(both: Both) -> None:
    """So that the sweeps of the next seed find that seed's jobs alone."""
    for job_id in both.ids:
        if not both.model.jobs[job_id].is_terminal:
            jobs.cancel(both.store, TENANT, job_id)
    both.clock += 1_000.0
    sweep.expire(both.store)


def _outcome(deed: Callable[[], Any]) -> Any:
    try:
        done = deed()
    except (LostLeaseError, StateConflictError) as error:
        return type(error).__name__
    return done if isinstance(done, bool | int | str | list | None) else "done"


def _compared(job: Job) -> dict[str, Any]:
    return {name: getattr(job, name) for name in COMPARED}

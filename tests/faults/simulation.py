"""Which faults meet a few jobs and workers, and when: a schedule, drawn from one seed and replayed from it alone.

    python -m tests.faults.simulation --schedules 20000
    python -m tests.faults.simulation --seed 4711            one schedule, with its trace
    python -m tests.faults.simulation --schedules 1000000 --processes 2

A schedule is a storm of some forty events over one to three workers and jobs, with a clock of its own; then the faults stop, time runs on,
and every job must have come to the end that it deserves.
"""

import argparse
import multiprocessing
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from contract.errors import LostLeaseError, StateConflictError, StoreUnavailableError
from contract.events import FailureCode
from contract.job import Job, JobState
from contract.lifecycle import CRASHES_WITHOUT_PROGRESS, RING_SECONDS
from tests.faults import swift
from tests.faults.hands import Plan, Worker
from tests.faults.invariants import Judge, Violation
from tests.faults.model import LEASE_SECONDS, Tables

ENOUGH_ROUNDS = 120
"""Rounds after the storm in which everything must have ended; each a second longer than the one before."""
WAIT_SECONDS = LEASE_SECONDS
"""How long the reconciler takes no job from its owner once the database did not answer: what `service.reconciler` waits."""
_AT_ONCE = 1_000


@dataclass(slots=True)
class Counts:
    """What a number of schedules went through."""

    schedules: int = 0
    events: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    moves: Counter[tuple[JobState, JobState]] = field(default_factory=Counter)
    expiries: int = 0
    """Jobs taken from an owner that was not heard of."""
    ends: Counter[str] = field(default_factory=Counter)
    """Jobs by how they ended: a terminal state, or the code of a failure."""

    def add(self, other: "Counts") -> None:
        self.schedules += other.schedules
        self.events += other.events
        self.faults.update(other.faults)
        self.moves.update(other.moves)
        self.ends.update(other.ends)
        self.expiries += other.expiries


def run(schedules: int, first_seed: int = 0) -> Counts:
    """Go through the schedules of as many consecutive seeds. Raises Violation, which names the seed and how to replay it."""
    counts = Counts()
    with swift.copies():
        for seed in range(first_seed, first_seed + schedules):
            Schedule(seed, counts).run()
    return counts


def release(schedules: int, processes: int = 1, first_seed: int = 0) -> Counts:
    """The same, shared among processes. Raises the first Violation met."""
    parts = [(min(_AT_ONCE, schedules - at), first_seed + at) for at in range(0, schedules, _AT_ONCE)]
    counts = Counts()
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for part in pool.imap_unordered(_part, parts):
            counts.add(part)
    return counts


def replay(seed: int, tell: Callable[[str], None] = print) -> None:
    """Go through one schedule again and tell every event. Raises the Violation it ends in, if it does."""
    Schedule(seed, Counts(), tell).run()


class Schedule:
    """One storm and the calm after it."""

    def __init__(self, seed: int, counts: Counts, tell: Callable[[str], None] | None = None) -> None:
        self.seed = seed
        self.now = 1_000.0
        self._counts, self._tell = counts, tell
        self._random = Random(seed)
        self._draw = self._random.random
        self._judge = Judge()
        self.tables = Tables(self._judge)
        self._plans: dict[str, Plan] = {}
        self._cancels: set[str] = set()
        """Jobs that a client asked to cancel, whether or not it was answered."""
        self._acknowledged: set[str] = set()
        self._bells: list[str] = []
        self._late: list[Callable[[float], object]] = []
        """Deeds whose sender gave up, and that the database may still do."""
        self._may_expire_at = self.now
        self._away_until = self._full_until = 0
        self._frozen: dict[str, int] = {}
        self._event = self._processes = 0
        self._is_calm = False
        # How stormy: the share of events that are faults, and the share of calls whose way is disturbed.
        self._fault_rate = self._draw() * 0.3
        self._call_rate = self._draw() * 0.15
        for name in "abc"[: self._among(3)]:
            self._submit(name)
        self._workers = [self._worker(index) for index in range(self._among(3))]

    def run(self) -> None:
        """Raises Violation where a promise was broken, naming the seed."""
        try:
            self._storm()
            self._settle()
            self._check_ends()
        except Exception as error:  # also what nobody foresaw: a schedule that cannot be told apart from a crash is no proof
            broken = str(error) if isinstance(error, Violation) else f"{type(error).__name__}: {error}"
            raise Violation(f"{broken}; schedule {self.seed}, replay it: python -m tests.faults.simulation --seed {self.seed}") from error
        counts = self._counts
        counts.schedules += 1
        counts.events += self._event
        counts.moves.update(self._judge.moves)
        counts.ends.update(job.error["code"] if job.error else job.state.value for job in self.tables.jobs.values())

    # The storm.

    def _storm(self) -> None:
        for _ in range(20 + int(self._draw() * 45)):
            self._event += 1
            self.now += self._draw() * 1.2
            what = self._draw()
            if what < self._fault_rate:
                self._fault()
            elif what < 0.27:
                self._reconcile()
            elif what < 0.32:
                self._client()
            else:
                self._work(self._pick(self._workers))

    def _work(self, worker: Worker) -> None:
        if self._frozen.get(worker.name, 0) > self._event:
            return
        worker.disk_is_full = self._full_until > self._event
        said = worker.act(self.now, self._bells.pop() if self._bells and worker.attempt is None else None)
        if self._tell:
            self._say(f"{worker.name} {said}")
        if worker.is_draining and worker.attempt is None:
            self._replace(worker)

    def _client(self) -> None:
        self._ask(self._pick(["cancel", "pause", "pause", "resume", "resume"]), self._pick(list(self.tables.jobs)))

    def _ask(self, deed: str, job_id: str) -> None:
        """A client asks until it is answered, or gives up."""
        if deed == "cancel":
            self._cancels.add(job_id)
        for _ in range(2):
            try:
                answer = self._send(deed, job_id)
            except StoreUnavailableError:
                continue
            except StateConflictError:
                if deed == "cancel" and not self.tables.jobs[job_id].is_terminal:
                    raise Violation(f"a cancel is refused only where the job has ended (job {job_id})") from None
                self._say(f"client may not {deed} {job_id}")
                return
            self._say(f"client was answered {answer.state.value} to its {deed} of {job_id}")
            if deed == "cancel":
                self._acknowledged.add(job_id)
            return

    def _reconcile(self) -> None:
        """A round of the reconciler, as `service.reconciler` makes it."""
        for deed in ("expire", "time_out", "ring", "purge"):
            if deed == "expire" and self.now < self._may_expire_at:
                continue
            try:
                done = self._send(deed)
            except StoreUnavailableError:
                # No worker could renew: each is given a whole lease to be heard of again.
                self._may_expire_at = self.now + WAIT_SECONDS
                continue
            if deed == "ring":
                self._ring(done)
            if deed == "expire":
                self._counts.expiries += done
            if done and self._tell:
                self._say(f"reconciler: {deed}, {done}")

    def _ring(self, job_ids: list[str]) -> None:
        for job_id in job_ids:
            fate = 1.0 if self._is_calm else self._draw()
            if fate < 0.2:
                self._count("bell lost")
                continue
            self._bells.append(job_id)
            if fate < 0.4:
                self._count("bell doubled")
                self._bells.append(job_id)

    def _fault(self) -> None:
        worker = self._pick(self._workers)
        match int(self._draw() * 10):
            case 0 | 1:
                self._count("worker killed")
                self._replace(worker)
            case 2 | 3:
                self._count("trainer killed")
                worker.trainer_dies = worker.attempt is not None
            case 4 | 5:
                self._count("worker frozen")
                self._frozen[worker.name] = self._event + 4 + self._among(14)
            case 6:
                self._count("worker drained")
                worker.is_draining = True
            case 7:
                self._count("database away")
                self._away_until = self._event + self._among(8)
            case 8:
                # Nobody acts for as long as a lease, or a cancel, lasts: then who comes first, comes first.
                self._count("time passed")
                self.now += self._pick([LEASE_SECONDS + 1, 20.0, 70.0])
            case _:
                self._rare(worker)

    def _rare(self, worker: Worker) -> None:
        match self._among(3):
            case 1:
                self._count("disk full")
                self._full_until = self._event + self._among(10)
            case 2:
                self._count("reconciler restarted")
                self._may_expire_at = self.now
            case _:
                self._count("everything killed")
                for each in list(self._workers):
                    self._replace(each)
                # No process lives, so no transaction of one does: the stack that starts holds the folder's lock.
                self._late.clear()
                self._away_until = 0
                self.tables.release_all(self.now)

    def _send(self, deed: str, *arguments: Any) -> Any:
        """Carry a deed to the database, with what can befall it on the way. Raises StoreUnavailableError where no answer came."""
        do = partial(getattr(self.tables, deed), *arguments)
        if self._is_calm:
            return do(self.now)
        if self._away_until > self._event:
            raise StoreUnavailableError("the database is away")
        # A commit comes once in a job's life: what can befall it is drawn more often, to be seen at all.
        fate = self._draw() / (self._call_rate * (4.0 if deed == "succeed" else 1.0))
        if fate >= 1.0:
            return do(self.now)
        if fate < 0.25:
            self._count("request lost")
        elif fate < 0.5:
            self._count("request late")
            self._late.append(do)
        elif fate < 0.75:
            self._count("answer lost")
            self._try(do)
        elif arguments:
            self._count("row changed between")
            return self._interrupted(do)
        raise StoreUnavailableError(f"no answer to {deed}")

    def _interrupted(self, do: Callable[[float], Any]) -> Any:
        """Let somebody else act between the reading of a row and its writing."""
        self.tables.between = self._somebody
        try:
            return do(self.now)
        finally:
            self.tables.between = None

    def _somebody(self) -> None:
        if self._late and self._draw() < 0.5:
            self._arrive()
            return
        self._try(
            self._pick(
                [self.tables.expire, self.tables.time_out, *(partial(self.tables.cancel, job_id) for job_id in sorted(self._cancels))]
            )
        )

    def _arrive(self) -> None:
        late = self._late.pop(int(self._draw() * len(self._late)))
        self._say("a late request arrives")
        self._try(late)

    def _try(self, do: Callable[[float], object]) -> None:
        """Do it with nobody there to hear of the outcome."""
        try:
            do(self.now)
        except (LostLeaseError, StateConflictError, StoreUnavailableError):
            return

    # The calm after it.

    def _settle(self) -> None:
        self._is_calm = True
        self._frozen.clear()
        self._full_until = 0
        while self._late:
            self._arrive()
        for waited in range(ENOUGH_ROUNDS):
            if all(job.is_terminal for job in self.tables.jobs.values()):
                break
            self.now += 4.0 + waited
            self._reconcile()
            for job in self.tables.jobs.values():
                if job.state is JobState.PAUSED:
                    self._ask("resume", job.id)
            for worker in list(self._workers):
                self._work_off(worker)

    def _work_off(self, worker: Worker) -> None:
        for _ in range(60):
            self._event += 1
            self.now += 0.1
            self._work(worker)
            if worker.attempt is None:
                return

    def _check_ends(self) -> None:
        self._reconcile()  # what is not kept is purged, and what is kept must have its bytes
        for job in self.tables.jobs.values():
            if not job.is_terminal:
                raise Violation(f"every accepted job ends (job {job.id} is {job.state.value}, {job.status_reason})")
            if cause := self._undeserved(job):
                raise Violation(f"{cause} (job {job.id} ended {job.state.value}, {job.status_reason})")

    def _undeserved(self, job: Job) -> str | None:
        """What is wrong with the end of the job, if anything is."""
        plan = self._plans[job.id]
        if job.id in self._acknowledged and job.state is not JobState.CANCELLED:
            return "a cancel that was acknowledged is obeyed"
        match job.state:
            case JobState.SUCCEEDED:
                if job.step != plan.steps:
                    return f"news that were told are written down, and the row says step {job.step} of {plan.steps}"
                return None if self.tables.results[job.id][1] == plan.digest() else "the weights are those of an uninterrupted run"
            case JobState.CANCELLED:
                return None if job.id in self._cancels else "a job is cancelled only if that was asked"
        assert job.error is not None
        match job.error["code"]:
            case FailureCode.CRASH_LOOP | FailureCode.STALLED:
                return (
                    None if self._judge.deaths[job.id] >= CRASHES_WITHOUT_PROGRESS else "a crash loop takes three deaths without progress"
                )
            case FailureCode.DIVERGED:
                return None if plan.diverges_at is not None else "only a job that diverges fails as diverged"
            case FailureCode.DEADLINE_EXCEEDED:
                return None if self._is_overdue(job) else "a deadline is exceeded only once it has passed"
        return f"a failure has a cause, and {job.error['code']} has none here"

    def _is_overdue(self, job: Job) -> bool:
        assert job.finished_at is not None
        deadline = job.queue_deadline_at if job.deadline_at is None else job.deadline_at
        return deadline <= job.finished_at

    # What there is.

    def _submit(self, job_id: str) -> None:
        kind, steps = self._draw(), self._among(4)
        at = int(self._draw() * steps)
        dies_as = FailureCode.STALLED if kind < 0.05 else FailureCode.CRASH_LOOP
        plan = Plan(steps, self._among(3), at if kind < 0.14 else None, dies_as, at if 0.14 <= kind < 0.24 else None)
        is_short = kind > 0.86
        limits = {"max_runtime_seconds": 10 if is_short else 100_000, "max_queue_seconds": 4 if is_short else 100_000}
        spec = {"limits": limits, "checkpoints": {"keep_last": self._among(2)}}
        job = Job(
            id=job_id,
            tenant="t",
            name=None,
            metadata={},
            spec=spec,
            spec_sha256="",
            available_at=self.now,
            created_at=self.now,
            queue_deadline_at=self.now + limits["max_queue_seconds"],
            next_ring_at=self.now + RING_SECONDS,
        )
        self._plans[job_id] = plan
        self.tables.create(job)
        self._bells.append(job_id)
        if self._tell:
            self._say(f"client submits {job_id}: {plan}, {spec}")

    def _worker(self, index: int) -> Worker:
        self._processes += 1
        return Worker(f"w{index}.{self._processes}", self.tables, self._send, self._plans)

    def _replace(self, worker: Worker) -> None:
        """Another process in its place; the old one is gone, with what it held in memory."""
        at = self._workers.index(worker)
        self._frozen.pop(worker.name, None)
        self._workers[at] = self._worker(at)

    def _count(self, fault: str) -> None:
        self._counts.faults[fault] += 1
        self._say(f"-- {fault}")

    def _say(self, what: str) -> None:
        if self._tell:
            self._tell(f"{self._event:4} {self.now:8.1f}  {what}")

    def _among(self, count: int) -> int:
        """One of 1 … count."""
        return 1 + int(self._draw() * count)

    def _pick(self, found: list[Any]) -> Any:
        return found[int(self._draw() * len(found))]


def _part(schedules_and_seed: tuple[int, int]) -> Counts:
    return run(*schedules_and_seed)


def table(counts: Counts) -> str:
    moves = {f"{before.value} -> {after.value}": times for (before, after), times in counts.moves.items()}
    lines = [f"{counts.schedules} schedules, {counts.events} events, 0 violations"]
    for title, found in (("fault", counts.faults), ("move", moves), ("end", counts.ends)):
        lines += [f"{title:6} {name:28} {times:10}" for name, times in sorted(found.items())]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Storms over the pure core, each drawn from its seed.")
    parser.add_argument("--seed", type=int, help="replay this schedule alone, with its trace")
    parser.add_argument("--schedules", type=int, default=20_000)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    asked = parser.parse_args()
    if asked.seed is not None:
        replay(asked.seed)
        return
    print(table(release(asked.schedules, asked.processes, asked.first_seed)))


if __name__ == "__main__":
    main()

"""What the database and the artifact store do, in memory: the transactions of `contract.store` around the same pure functions.

Mirrored are `rows.save` with its guard and its events, `leases`, `checkpoints.record` with retention, `sweep`, and the cancel, pause and
resume of `jobs`. Left out on purpose are the triggers and constraints of the real tables: here the pure functions must hold alone, and
the judge looks. Left out as well, since nothing here depends on them: metrics, devices, machine classes, priorities, and which checkpoint is best.
Nothing yet holds these tables against the real ones but the eye: who changes a transaction there changes it here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from contract import lifecycle
from contract.errors import LostLeaseError, StoreUnavailableError
from contract.events import FailureCode
from contract.job import HELD, Job, JobState
from contract.lifecycle import Failure, Report
from tests.faults.invariants import Judge, Lease, Violation
from tests.faults.swift import replace

LEASE_SECONDS = 8.0
Weights = tuple[int, int]
"""Steps done, and a digest of which they were and in which order: a lost, doubled or reordered step gives another."""
FRESH: Weights = (0, 0)


def trained(weights: Weights) -> Weights:
    """The weights after one more step."""
    steps, digest = weights
    return steps + 1, (digest * 1_000_003 + steps + 1) % 2_147_483_647


@dataclass(slots=True)
class Checkpoint:
    """A row of the checkpoints table. `kept` until the policy lets go of it, then until its bytes are purged in the table."""

    id: str
    fence: int
    prefix: str
    kept: bool = True


class Tables:
    """Jobs, their results and checkpoints, and the bytes beside them. Every method but `store_bytes` is one transaction."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.jobs: dict[str, Job] = {}
        self.results: dict[str, tuple[int, Weights]] = {}
        """Of each job that succeeded: the fence it was committed under, and the weights."""
        self.checkpoints: dict[str, list[Checkpoint]] = {}
        self.bytes: dict[str, Weights] = {}
        self.recorded: set[str] = set()
        """Prefixes that a checkpoint was ever recorded with: what makes the record harmless to repeat."""
        self.leases: dict[str, Lease] = {}
        """Of each job, the newest one given."""
        self.attempts = 0
        self.between: Callable[[], None] | None = None
        """Called once, between reading a row and writing it: what no row lock would keep out."""

    def create(self, job: Job) -> None:
        self.jobs[job.id], self.checkpoints[job.id] = replace(job, event_seq=1), []
        self.judge.created(job)

    # What a worker does.

    def claim(self, owner: str, job_id: str | None, now: float) -> tuple[Job, Lease] | None:
        for before in self.jobs.values():
            if job_id in (None, before.id) and lifecycle.can_be_claimed(before, now):
                after = lifecycle.claim(before, owner, now, LEASE_SECONDS)
                assert after is not None
                self.attempts += 1
                lease = self.leases[before.id] = Lease(before.id, after.fence, self.attempts)
                return self._save(before, after, "claim", lease), lease
        return None

    def give_back(self, owner: str, now: float) -> Job | None:
        """Release what `owner` holds without knowing it."""
        for before in self.jobs.values():
            if before.owner == owner:
                after = lifecycle.release(before, before.fence, now, "its worker lost sight of it")
                return self._save(before, after, "release", self.leases[before.id])
        return None

    def kept(self, job_id: str, _now: float) -> list[Checkpoint]:
        """The checkpoints that are kept, newest first."""
        return [one for one in reversed(self.checkpoints[job_id]) if one.kept]

    def renew(self, lease: Lease, report: Report, batch: int | None, now: float) -> Job:
        before = self.jobs[lease.job_id]
        return self._save(before, lifecycle.renew(before, lease.fence, now, LEASE_SECONDS, report, batch), "renew", lease)

    def checkpoint(self, lease: Lease, prefix: str, now: float) -> Job:
        before = self.jobs[lease.job_id]
        if self._is_recorded(prefix):
            return before
        rows = self.checkpoints[before.id]
        row = Checkpoint(f"{before.id}-{before.checkpoint_seq + 1}", lease.fence, prefix)
        after = lifecycle.checkpoint(before, lease.fence, now, row.id, None)
        saved = self._save(before, after, "checkpoint", lease, 1, partial(rows.append, row))
        for surplus in [one for one in rows if one.kept][: -before.spec["checkpoints"]["keep_last"]]:
            surplus.kept = False
        self.recorded.add(prefix)
        return saved

    def succeed(self, lease: Lease, weights: Weights, now: float) -> Job:
        before = self.jobs[lease.job_id]
        if before.state is JobState.SUCCEEDED and self._is_committed(lease):
            return before
        after = lifecycle.succeed(before, lease.fence, now)
        if before.id in self.results:
            raise Violation(f"only its primary key kept a second result of job {before.id} out")
        return self._save(before, after, "succeed", lease, 0, partial(self.results.__setitem__, before.id, (lease.fence, weights)))

    def fail(self, lease: Lease, failure: Failure, now: float) -> Job:
        before = self.jobs[lease.job_id]
        return self._save(before, lifecycle.fail(before, lease.fence, now, failure), "fail", lease)

    def finish_cancel(self, lease: Lease, now: float) -> Job:
        before = self.jobs[lease.job_id]
        return self._save(before, lifecycle.finish_cancel(before, lease.fence, now), "finish_cancel", lease)

    def release(self, lease: Lease, rest_seconds: float, now: float) -> Job:
        before = self.jobs[lease.job_id]
        return self._save(before, lifecycle.release(before, lease.fence, now, "released", rest_seconds), "release", lease)

    def crash(self, lease: Lease, code: FailureCode, now: float) -> Job:
        before = self.jobs[lease.job_id]
        return self._save(before, lifecycle.crash(before, lease.fence, now, "its trainer died", code), "crash", lease)

    # What a client does.

    def cancel(self, job_id: str, now: float) -> Job:
        before = self.jobs[job_id]
        return self._save(before, lifecycle.cancel(before, now), "cancel")

    def pause(self, job_id: str, now: float) -> Job:
        before = self.jobs[job_id]
        return self._save(before, lifecycle.pause(before, now), "pause")

    def resume(self, job_id: str, now: float) -> Job:
        before = self.jobs[job_id]
        return self._save(before, lifecycle.resume(before, now), "resume")

    # What the reconciler does.

    def expire(self, now: float) -> int:
        return self._sweep("expire", lambda job: lifecycle.expire(job, now))

    def time_out(self, now: float) -> int:
        return self._sweep("time_out", lambda job: lifecycle.time_out(job, now))

    def ring(self, now: float) -> list[str]:
        due = [job.id for job in self.jobs.values() if lifecycle.is_due_to_ring(job, now)]
        self._sweep("ring", lambda job: lifecycle.rung(job, now) if lifecycle.is_due_to_ring(job, now) else None)
        return due

    def release_all(self, now: float) -> int:
        """Of a stack that starts: it knows that no worker lives."""
        return self._sweep("release_all", lambda job: lifecycle.release(job, job.fence, now, "started anew") if job.state in HELD else None)

    def purge(self, _now: float) -> int:
        """Remove the bytes of checkpoints that are not kept, and the rows."""
        purged = 0
        for job_id, rows in self.checkpoints.items():
            for row in [one for one in rows if not one.kept]:
                self.bytes.pop(row.prefix, None)
                rows.remove(row)
                purged += 1
            for row in rows:
                if row.prefix not in self.bytes:
                    raise Violation(f"a checkpoint that a row names has its bytes (job {job_id}: {row.id} lost {row.prefix} to a purge)")
        return purged

    # What the judge reads.

    def has_result(self, job_id: str) -> bool:
        return job_id in self.results

    def has_bytes(self, job_id: str, checkpoint_id: str) -> bool:
        return any(row.id == checkpoint_id and row.prefix in self.bytes for row in reversed(self.checkpoints[job_id]))

    def _is_committed(self, lease: Lease) -> bool:
        return self.results[lease.job_id][0] == lease.fence

    def _is_recorded(self, prefix: str) -> bool:
        return prefix in self.recorded

    def _sweep(self, deed: str, outcome: Callable[[Job], Job | None]) -> int:
        done = 0
        for before in list(self.jobs.values()):
            if after := outcome(before):
                self._save(before, after, deed)
                done += 1
        return done

    def _save(
        self, before: Job, after: Job, deed: str, lease: Lease | None = None, notes: int = 0, also: Callable[[], None] | None = None
    ) -> Job:
        """Write the row, its events, and what belongs to the same transaction: all of it, or nothing where the guard says no."""
        if after is before and not notes:
            return before
        event = (before.state, after.state) if after.state is not before.state else None
        if notes := notes + (event is not None):
            after = replace(after, event_seq=after.event_seq + notes, version=after.version + 1)
        if self.between:
            between, self.between = self.between, None
            between()
        if not self._is_untouched(before):
            raise StoreUnavailableError(f"job {before.id} changed while it was being changed; try again")
        self.jobs[before.id] = after
        if also:
            also()
        self.judge.wrote(self, before, after, deed, lease, event)
        return after

    def _is_untouched(self, before: Job) -> bool:
        """The guard of the one UPDATE."""
        now = self.jobs[before.id]
        return now.state is before.state and now.fence == before.fence and now.version == before.version


def told_it_lost(tables: Tables, lease: Lease, error: LostLeaseError) -> Violation | None:
    """The breach of promise if an owner who committed is told that it did not."""
    if lease.job_id in tables.results and tables.results[lease.job_id][0] == lease.fence:
        return Violation(f"an owner that repeats its commit hears of its success (job {lease.job_id}: {error})")
    return None

"""How a job is read from its row and written back: under a guard, and never without the event that tells of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from sqlalchemy import Connection, RowMapping, insert, select, update

from contract import numbers
from contract.errors import NotFoundError, StoreUnavailableError
from contract.job import FIELDS, Job, JobState, Json
from contract.lifecycle import Actor
from contract.store import datasets, outbox, quotas
from contract.store.tables import job_events, jobs

EventType = Literal["status", "epoch", "checkpoint", "warning", "log"]
Level = Literal["info", "warning", "error"]
_NEW_JOB = insert(jobs)
_NEW_EVENT = insert(job_events)
_JSON_FIELDS = frozenset({"metadata", "spec", "error", "latest_metrics", "data", "machine", "best"})


@dataclass(frozen=True, slots=True)
class Note:
    """An event about to be written."""

    type: EventType
    message: str
    data: Json = field(default_factory=dict)
    level: Level = "info"


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a job's history. `seq` counts from 1 within the job, without gaps."""

    job_id: str
    seq: int
    at: float
    type: str
    level: str
    message: str
    data: Json


def from_row(row: RowMapping) -> Job:
    """The job that a whole row of the jobs table holds."""
    values = {name: row[name] for name in FIELDS}
    return Job(**{**values, "state": JobState(values["state"])})


def to_row(job: Job) -> dict[str, Any]:
    """The job as a row of the jobs table holds it: states as their names, numbers that JSON lacks as strings."""
    return {name: _plain(name, getattr(job, name)) for name in FIELDS}


def lock(connection: Connection, job_id: str, tenant: str | None = None) -> Job:
    """The job, locked until the transaction ends. Raises NotFoundError, for a client also for another tenant's and a deleted job."""
    query = select(jobs).where(jobs.c.id == job_id).with_for_update()
    if tenant is not None:
        query = query.where(jobs.c.tenant == tenant, jobs.c.deleted_at.is_(None))
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise NotFoundError("job", job_id)
    return from_row(row)


def save(connection: Connection, before: Job, after: Job, actor: Actor, now: float, notes: tuple[Note, ...] = ()) -> Job:
    """Write what changed between `before` and `after`, the notes, and the event of a move between states.

    The guard names id, state, fence and version: if any of them moved since `before` was read, nothing is written and
    StoreUnavailableError asks for another try. The row lock makes that impossible; the guard is there for the day it is not.
    """
    if after is before and not notes:
        return before
    moved = (_status(before, after, actor),) if after.state is not before.state else ()
    after = _append(connection, after, (*notes, *moved), now)
    changes = {name: _plain(name, getattr(after, name)) for name in FIELDS if getattr(after, name) != getattr(before, name)}
    guard = (jobs.c.id == before.id, jobs.c.state == before.state.value, jobs.c.fence == before.fence, jobs.c.version == before.version)
    if connection.execute(update(jobs).where(*guard).values(changes)).rowcount != 1:
        raise StoreUnavailableError(f"job {before.id} changed while it was being changed; try again")
    quotas.note_move(connection, before, after, now)
    if moved:
        outbox.tell(connection, [(before, after)], actor, now)
    return after


def create(connection: Connection, new: Sequence[Job], now: float) -> None:
    """Write new jobs and the first event of each. Raises InvalidSpecError where a data set that one names is gone, and
    QuotaExceededError where a tenant may not have as many more jobs: then which of them is refused is told by writing each alone."""
    # The rows as parameters of one statement: as `values` of a new one, fifty columns would cost most of a submission's time.
    connection.execute(_NEW_JOB, [to_row(job) for job in new])
    connection.execute(_NEW_EVENT, [line for job in new for line in _lines(job.id, 0, (born(job),), now)])
    for job in new:
        datasets.hold(connection, job)
    # Once they are written, so that a submission repeated under its key meets the key first.
    for tenant in dict.fromkeys(job.tenant for job in new):
        quotas.assert_room_for_jobs(connection, tenant, now)
    outbox.tell(connection, [(None, job) for job in new], Actor.CLIENT, now)


def born(job: Job) -> Note:
    """The first note of a new job."""
    return Note("status", "queued", {"from": None, "to": job.state.value, "reason": job.status_reason, "actor": Actor.CLIENT.value})


def _append(connection: Connection, job: Job, notes: tuple[Note, ...], now: float) -> Job:
    if not notes:
        return job
    connection.execute(_NEW_EVENT, list(_lines(job.id, job.event_seq, notes, now)))
    return replace(job, event_seq=job.event_seq + len(notes), version=job.version + 1)


def _lines(job_id: str, after_seq: int, notes: tuple[Note, ...], now: float) -> Iterator[dict[str, Any]]:
    for seq, note in enumerate(notes, start=after_seq + 1):
        yield {
            "job_id": job_id,
            "seq": seq,
            "at": now,
            "type": note.type,
            "level": note.level,
            "message": numbers.to_json(note.message),
            "data": numbers.to_json(note.data),
        }


def _status(before: Job, after: Job, actor: Actor) -> Note:
    data = {
        "from": before.state.value,
        "to": after.state.value,
        "reason": after.status_reason,
        "actor": actor.value,
        "attempt": after.attempt,
    }
    level: Level = "error" if after.state is JobState.FAILED else "info"
    return Note("status", after.state.value, data | ({"error": after.error} if after.error else {}), level)


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, JobState):
        return value.value
    return numbers.to_json(value) if name in _JSON_FIELDS else value

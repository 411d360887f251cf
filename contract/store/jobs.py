"""What clients do with jobs: submit, read, list, cancel."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from contract import ids, lifecycle
from contract.errors import IdempotencyMismatchError, NotFoundError
from contract.job import Job, JobState, Json
from contract.lifecycle import Actor
from contract.spec import JobSpec
from contract.store import rows
from contract.store.engine import Store
from contract.store.tables import job_events, jobs, results


@dataclass(frozen=True, slots=True)
class Submission:
    """What became of a submission: the job, and whether it is the reply to an earlier one under the same key."""

    job: Job
    replayed: bool


@dataclass(frozen=True, slots=True)
class Place:
    """Where a queued job stands: from 1, and how many are before it."""

    position: int
    jobs_ahead: int


def submit(store: Store, tenant: str, spec: JobSpec, key: str | None = None) -> Submission:
    """Write the job down. Once this returns, the job will reach exactly one terminal state.

    With an idempotency `key` used before, the first job is returned; raises IdempotencyMismatchError if its spec was another.
    """
    document = spec.model_dump(mode="json")
    digest = hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    try:
        with store.write() as connection:
            now = store.now(connection)
            return Submission(rows.create(connection, _new(tenant, spec, document, digest, key, now), now), replayed=False)
    except IntegrityError:
        if key is None:
            raise
        return Submission(_earlier(store, tenant, key, digest), replayed=True)


def get(store: Store, tenant: str, job_id: str) -> Job:
    """The job as it stands. Raises NotFoundError, also for another tenant's."""
    with store.read() as connection:
        row = connection.execute(select(jobs).where(jobs.c.id == job_id, jobs.c.tenant == tenant)).mappings().one_or_none()
    if row is None:
        raise NotFoundError("job", job_id)
    return rows.from_row(row)


def page(store: Store, tenant: str, limit: int, before_id: str | None = None, states: Sequence[JobState] = ()) -> list[Job]:
    """Up to `limit` jobs, newest first, those older than `before_id`, in one of `states` if any are given."""
    query = select(jobs).where(jobs.c.tenant == tenant).order_by(jobs.c.id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(jobs.c.id < before_id)
    if states:
        query = query.where(jobs.c.state.in_([state.value for state in states]))
    with store.read() as connection:
        return [rows.from_row(row) for row in connection.execute(query).mappings()]


def cancel(store: Store, tenant: str, job_id: str) -> tuple[Job, bool]:
    """The job cancelled or on its way there, and whether this call was what moved it. Raises NotFoundError, StateConflictError."""
    with store.write() as connection:
        before = rows.lock(connection, job_id, tenant)
        now = store.now(connection)
        after = rows.save(connection, before, lifecycle.cancel(before, now), Actor.CLIENT, now)
    return after, after is not before


def places(store: Store, found: Sequence[Job]) -> dict[str, Place]:
    """Where each of these jobs that is queued stands among all queued ones."""
    if not any(job.state is JobState.QUEUED for job in found):
        return {}
    order = func.row_number().over(order_by=(jobs.c.priority.desc(), jobs.c.id)).label("position")
    ranked = select(jobs.c.id, order).where(jobs.c.state == JobState.QUEUED.value).subquery()
    with store.read() as connection:
        rows_found = connection.execute(select(ranked).where(ranked.c.id.in_([job.id for job in found]))).all()
    return {row.id: Place(row.position, row.position - 1) for row in rows_found}


def transitions(store: Store, job_ids: Sequence[str]) -> dict[str, list[rows.Event]]:
    """The status events of each job, oldest first."""
    query = (
        select(job_events)
        .where(job_events.c.job_id.in_(job_ids), job_events.c.type == "status")
        .order_by(job_events.c.job_id, job_events.c.seq)
    )
    found: dict[str, list[rows.Event]] = {job_id: [] for job_id in job_ids}
    with store.read() as connection:
        for row in connection.execute(query).mappings():
            found[row["job_id"]].append(rows.Event(**row))
    return found


def events(store: Store, job_id: str, after_seq: int = 0, limit: int = 1000) -> list[rows.Event]:
    """Up to `limit` events with a higher seq than `after_seq`, oldest first."""
    query = select(job_events).where(job_events.c.job_id == job_id, job_events.c.seq > after_seq).order_by(job_events.c.seq).limit(limit)
    with store.read() as connection:
        return [rows.Event(**row) for row in connection.execute(query).mappings()]


def result(store: Store, job_id: str) -> Json | None:
    """What the job found; None until it has succeeded."""
    with store.read() as connection:
        body: Json | None = connection.execute(select(results.c.body).where(results.c.job_id == job_id)).scalar_one_or_none()
    return body


def _new(tenant: str, spec: JobSpec, document: Json, digest: str, key: str | None, now: float) -> Job:
    return Job(
        id=ids.job(),
        tenant=tenant,
        name=spec.name,
        metadata=dict(spec.metadata),
        spec=document,
        spec_sha256=digest,
        idempotency_key=key,
        request_sha256=digest if key else None,
        status_reason="submitted",
        priority=spec.priority,
        device=spec.device,
        available_at=now,
        created_at=now,
        updated_at=now,
        queue_deadline_at=now + spec.limits.max_queue_seconds,
        # The submitter rings once itself; the reconciler rings again if nobody came.
        next_ring_at=now + lifecycle.RING_SECONDS,
        epochs=spec.most_epochs,
    )


def _earlier(store: Store, tenant: str, key: str, digest: str) -> Job:
    with store.read() as connection:
        row = connection.execute(select(jobs).where(jobs.c.tenant == tenant, jobs.c.idempotency_key == key)).mappings().one()
    job = rows.from_row(row)
    if job.request_sha256 != digest:
        raise IdempotencyMismatchError(f"the Idempotency-Key was used for job {job.id} with another spec; take a new key for a new job")
    return job

"""What clients do with jobs: submit, read, amend, cancel, pause, resume, retry, extend, clone."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, Connection, select
from sqlalchemy.exc import IntegrityError

from contract import amendment, continuation, ids, lifecycle
from contract.amendment import Amendment
from contract.continuation import Begin, Continuation, Relation, Resume
from contract.errors import GoneError, IdempotencyMismatchError, NotFoundError, StateConflictError
from contract.job import Job, Json
from contract.lifecycle import Actor
from contract.spec import JobSpec
from contract.store import beginnings, rows
from contract.store.engine import Store
from contract.store.tables import STANDING_RETRY, job_events, jobs, results


@dataclass(frozen=True, slots=True)
class Submission:
    """What became of a submission: the job, and whether it is there since an earlier one that this one repeats."""

    job: Job
    replayed: bool


def submit(store: Store, tenant: str, spec: JobSpec, key: str | None = None) -> Submission:
    """Write the job down. Once this returns, the job will reach exactly one terminal state.

    With an idempotency `key` used before, the first job is returned; raises IdempotencyMismatchError if its spec was another, GoneError
    if that job was deleted. Raises InvalidSpecError where the spec names weights that are not there.
    """

    def first(connection: Connection, now: float) -> Job:
        beginnings.assert_there(connection, tenant, spec)
        return _new(tenant, spec, now)

    return _once(store, tenant, key, spec.model_dump(mode="json"), first)


def assert_possible(store: Store, tenant: str, spec: JobSpec) -> None:
    """What `submit` asks of the store before it writes the job down. Raises InvalidSpecError."""
    if spec.init_from is not None:
        with store.read() as connection:
            beginnings.assert_there(connection, tenant, spec)


def retry(store: Store, tenant: str, job_id: str, begin: Begin = "last", resume: Resume | None = None) -> Submission:
    """A new job that does again what this one failed to do; see `continuation.retry` for where it begins.

    While a retry of it stands that did not fail and was not cancelled, that one is returned, so that repeating is harmless.
    Raises NotFoundError, and StateConflictError where the job cannot be retried or is being retried otherwise.
    """
    with store.write() as connection:
        parent = rows.lock(connection, job_id, tenant)
        asked = continuation.retry(parent, begin, resume)
        if standing := _standing_retry(connection, parent):
            return Submission(_assert_as_asked(standing, asked), replayed=True)
        now = store.now(connection)
        return Submission(rows.create(connection, _new(tenant, asked.spec, now, asked), now), replayed=False)


def extend(store: Store, tenant: str, job_id: str, epochs: int, key: str | None = None, beside: Json | None = None) -> Submission:
    """A new job that trains this one, which has succeeded, for so many `epochs` more; `beside` are fields of its spec that change too.

    With a `key` used before, the first job is returned, as by `submit`. Raises NotFoundError, StateConflictError, InvalidSpecError
    and IdempotencyMismatchError.
    """

    def extension(connection: Connection, now: float) -> Job:
        parent = rows.lock(connection, job_id, tenant)
        asked = continuation.extension(replace(parent, spec=parent.spec | (beside or {})), _stop_reason(connection, parent), epochs)
        return _new(tenant, asked.spec, now, asked)

    return _once(store, tenant, key, {"extend": job_id, "epochs": epochs} | ({"beside": beside} if beside else {}), extension)


def clone(store: Store, tenant: str, job_id: str, specify: Callable[[Job], JobSpec], request: Json, key: str | None = None) -> Submission:
    """A new job of the spec that `specify` makes of this one, which may stand anywhere and stays as it is.

    With a `key` used before for the same `request`, the first job is returned, as by `submit`. Raises NotFoundError, InvalidSpecError
    and what `specify` raises.
    """

    def copy(connection: Connection, now: float) -> Job:
        parent = rows.lock(connection, job_id, tenant)
        spec = specify(parent)
        beginnings.assert_there(connection, tenant, spec)
        return _new(tenant, spec, now, Continuation(parent.id, Relation.CLONE, spec, None, None, None))

    return _once(store, tenant, key, {"clone": job_id, **request}, copy)


def get(store: Store, tenant: str, job_id: str) -> Job:
    """The job as it stands. Raises NotFoundError, also for another tenant's and for one that was deleted."""
    with store.read() as connection:
        row = connection.execute(select(jobs).where(*_visible(tenant, job_id))).mappings().one_or_none()
    if row is None:
        raise NotFoundError("job", job_id)
    return rows.from_row(row)


def version(store: Store, tenant: str, job_id: str) -> int:
    """The job's version alone, for who waits for it to change: cheaper than the job. Raises NotFoundError, as `get` does."""
    with store.read() as connection:
        found = connection.execute(select(jobs.c.version).where(*_visible(tenant, job_id))).scalar_one_or_none()
    if found is None:
        raise NotFoundError("job", job_id)
    return int(found)


def amend(store: Store, tenant: str, job_id: str, specify: Callable[[Job], Amendment]) -> Job:
    """The job with what `specify` changes of it. Raises NotFoundError, StateConflictError, and what `specify` raises."""
    job, _ = _moved(store, tenant, job_id, lambda job, now: amendment.amend(job, specify(job), now))
    return job


def cancel(store: Store, tenant: str, job_id: str) -> tuple[Job, bool]:
    """The job cancelled or on its way there, and whether this call was what moved it. Raises NotFoundError, StateConflictError."""
    return _moved(store, tenant, job_id, lifecycle.cancel)


def pause(store: Store, tenant: str, job_id: str) -> tuple[Job, bool]:
    """The job paused or on its way there, and whether this call was what moved it. Raises NotFoundError, StateConflictError."""
    return _moved(store, tenant, job_id, lifecycle.pause)


def resume(store: Store, tenant: str, job_id: str) -> tuple[Job, bool]:
    """The job in the queue again, and whether this call was what moved it; as it is where it is not paused at all.

    Raises NotFoundError, StateConflictError. The caller rings.
    """
    return _moved(store, tenant, job_id, lifecycle.resume)


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


def _visible(tenant: str, job_id: str) -> tuple[ColumnElement[bool], ...]:
    return (jobs.c.id == job_id, jobs.c.tenant == tenant, jobs.c.deleted_at.is_(None))


def _moved(store: Store, tenant: str, job_id: str, deed: Callable[[Job, float], Job]) -> tuple[Job, bool]:
    with store.write() as connection:
        before = rows.lock(connection, job_id, tenant)
        now = store.now(connection)
        after = rows.save(connection, before, deed(before, now), Actor.CLIENT, now)
    return after, after is not before


def _once(store: Store, tenant: str, key: str | None, request: Json, make: Callable[[Connection, float], Job]) -> Submission:
    """The job that `make` makes of the request, or the one that it made when the key came with the same request before.

    Raises IdempotencyMismatchError where it came with another one.
    """
    digest = _sha256(request)
    # Looked for first: what was asked once is answered again though by now it could not be asked anew.
    if key is not None and (earlier := _earlier(store, tenant, key, digest)):
        return Submission(earlier, replayed=True)
    try:
        with store.write() as connection:
            now = store.now(connection)
            job = replace(make(connection, now), idempotency_key=key, request_sha256=digest if key is not None else None)
            return Submission(rows.create(connection, job, now), replayed=False)
    except IntegrityError:
        earlier = None if key is None else _earlier(store, tenant, key, digest)
        if earlier is None:
            raise
        return Submission(earlier, replayed=True)


def _earlier(store: Store, tenant: str, key: str, digest: str) -> Job | None:
    query = select(jobs).where(jobs.c.tenant == tenant, jobs.c.idempotency_key == key)
    with store.read() as connection:
        row = connection.execute(query).mappings().one_or_none()
    if row is None:
        return None
    job = rows.from_row(row)
    if job.request_sha256 != digest:
        raise IdempotencyMismatchError(f"the Idempotency-Key was used for job {job.id} with another request; take a new key for a new job")
    if job.deleted_at is not None:
        # A late repetition must not bring back what was deleted on purpose.
        raise GoneError(f"the Idempotency-Key was used for job {job.id}, which was deleted since; take a new key for a new job")
    return job


def _new(tenant: str, spec: JobSpec, now: float, origin: Continuation | None = None) -> Job:
    document = spec.model_dump(mode="json")
    return Job(
        id=ids.job(),
        tenant=tenant,
        name=spec.name,
        metadata=dict(spec.metadata),
        spec=document,
        spec_sha256=_sha256(document),
        status_reason=f"{origin.relation} of {origin.parent_job_id}" if origin else "submitted",
        priority=spec.priority,
        device=spec.device,
        available_at=now,
        created_at=now,
        updated_at=now,
        queue_deadline_at=now + spec.limits.max_queue_seconds,
        # The submitter rings once itself; the reconciler rings again if nobody came.
        next_ring_at=now + lifecycle.RING_SECONDS,
        epochs=spec.most_epochs,
        parent_job_id=origin.parent_job_id if origin else None,
        parent_relation=origin.relation.value if origin else None,
        start_checkpoint_id=origin.start_checkpoint_id if origin else None,
        init_checkpoint_id=spec.init_from,
        resumes_on=origin.resumes_on if origin else None,
        best=origin.best if origin else None,
        best_checkpoint_id=origin.best["checkpoint_id"] if origin and origin.best else None,
    )


def _sha256(document: Json) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _standing_retry(connection: Connection, parent: Job) -> Job | None:
    """The retry of this job that did not fail and was not cancelled; an index of the table holds that there is one at most."""
    row = connection.execute(select(jobs).where(jobs.c.parent_job_id == parent.id, STANDING_RETRY)).mappings().one_or_none()
    return rows.from_row(row) if row else None


def _assert_as_asked(standing: Job, asked: Continuation) -> Job:
    """The standing retry, where it is what a second one would be. To give back another would drop what was asked for unheard."""
    same_policy = standing.spec["checkpoints"].get("resume") == asked.spec.checkpoints.resume
    if standing.start_checkpoint_id == asked.start_checkpoint_id and same_policy:
        return standing
    begun = f"from checkpoint {standing.start_checkpoint_id}" if standing.start_checkpoint_id else "from its start"
    remedy = "submit its spec anew" if standing.is_terminal else "cancel that one first"
    raise StateConflictError(
        f"job {asked.parent_job_id} was retried as {standing.id} already, {begun} and with resume "
        f"'{standing.spec['checkpoints'].get('resume')}'; {remedy} to have it otherwise"
    )


def _stop_reason(connection: Connection, job: Job) -> str:
    """What ended a job that succeeded, as its result says; empty for one that has none."""
    body: Json | None = connection.execute(select(results.c.body).where(results.c.job_id == job.id)).scalar_one_or_none()
    return str(body.get("stop_reason", "")) if body else ""

"""What clients do with jobs: submit, read, amend, cancel, pause, resume, retry, extend, clone."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection, bindparam, select

from contract import amendment, continuation, lifecycle
from contract.amendment import Amendment
from contract.continuation import Begin, Continuation, Relation, Resume
from contract.errors import NotFoundError, StateConflictError
from contract.job import Job, JobState, Json
from contract.lifecycle import Actor
from contract.spec import JobSpec
from contract.store import backlog, beginnings, birth, continuing, rows, submissions
from contract.store.backlog import Place
from contract.store.engine import Store
from contract.store.submissions import Asked, Submission
from contract.store.tables import STANDING_RETRY, job_events, jobs, results

# Made once: to build a statement costs more than to run one of these.
_NAMED = (jobs.c.id == bindparam("id"), jobs.c.tenant == bindparam("tenant"), jobs.c.deleted_at.is_(None))
_ONE: Final = select(jobs).where(*_NAMED)
_SOME: Final = select(jobs).where(jobs.c.id.in_(bindparam("ids", expanding=True)), jobs.c.deleted_at.is_(None))
_VERSION: Final = select(jobs.c.version).where(*_NAMED)
_MOVES: Final = (
    select(job_events)
    .where(job_events.c.job_id.in_(bindparam("job_ids", expanding=True)), job_events.c.type == "status")
    .order_by(job_events.c.job_id, job_events.c.seq)
)


def submit(store: Store, tenant: str, spec: JobSpec, key: str | None = None) -> Submission:
    """Write the job down. Once this returns, the job will reach exactly one terminal state.

    With an idempotency `key` used before, the first job is returned; raises IdempotencyMismatchError if its spec was another, GoneError
    if that job was deleted. Raises InvalidSpecError where the spec names weights that are not there.
    """

    [done] = submissions.write(store, [Asked(tenant, spec, key)])
    if isinstance(done, Exception):
        raise done
    return done


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
        asked = continuation.retry(continuing.what_is_left(connection, parent), begin, resume)
        now = store.now(connection)
        job = birth.of(tenant, asked.spec, now, asked)
        rows.create(connection, [job], now)
        return Submission(job, replayed=False)


def extend(store: Store, tenant: str, job_id: str, epochs: int, key: str | None = None, beside: Json | None = None) -> Submission:
    """A new job that trains this one, which has succeeded, for so many `epochs` more; `beside` are fields of its spec that change too.

    With a `key` used before, the first job is returned, as by `submit`. Raises NotFoundError, StateConflictError, InvalidSpecError
    and IdempotencyMismatchError.
    """

    request: Json = {"extend": job_id, "epochs": epochs} | ({"beside": beside} if beside else {})

    def extension(connection: Connection, now: float) -> Job:
        parent = continuing.what_is_left(connection, rows.lock(connection, job_id, tenant))
        asked = continuation.extension(replace(parent, spec=parent.spec | (beside or {})), _stop_reason(connection, parent), epochs)
        return birth.of(tenant, asked.spec, now, asked)

    return _once(store, tenant, key, request, extension)


def clone(store: Store, tenant: str, job_id: str, specify: Callable[[Job], JobSpec], request: Json, key: str | None = None) -> Submission:
    """A new job of the spec that `specify` makes of this one, which may stand anywhere and stays as it is.

    With a `key` used before for the same `request`, the first job is returned, as by `submit`. Raises NotFoundError, InvalidSpecError
    and what `specify` raises.
    """

    def copy(connection: Connection, now: float) -> Job:
        parent = rows.lock(connection, job_id, tenant)
        spec = specify(parent)
        beginnings.assert_there(connection, tenant, spec)
        return birth.of(tenant, spec, now, Continuation(parent.id, Relation.CLONE, spec, None, None, None))

    return _once(store, tenant, key, {"clone": job_id, **request}, copy)


def get(store: Store, tenant: str, job_id: str) -> Job:
    """The job as it stands. Raises NotFoundError, also for another tenant's and for one that was deleted."""
    with store.read() as connection:
        return _found(connection, tenant, job_id)


def placed(store: Store, job_ids: Iterable[str]) -> list[tuple[Job, Place | None]]:
    """Those of the jobs that are there, whoever's they are, and where each stands in the queue while it is queued: one statement where
    none is."""
    with store.read() as connection:
        found = [rows.from_row(row) for row in connection.execute(_SOME, {"ids": list(job_ids)}).mappings()]
        places = backlog.places_among(connection, found)
    return [(job, places.get(job.id)) for job in found]


def owned(store: Store, tenant: str, job_ids: Sequence[str]) -> set[str]:
    """Those of the jobs that are the tenant's."""
    with store.read() as connection:
        found = connection.execute(select(jobs.c.id).where(jobs.c.tenant == tenant, jobs.c.id.in_(job_ids)))
        return {row.id for row in found}


def version(store: Store, tenant: str, job_id: str) -> int:
    """The job's version alone, for who waits for it to change: cheaper than the job. Raises NotFoundError, as `get` does."""
    with store.read() as connection:
        found = connection.execute(_VERSION, {"tenant": tenant, "id": job_id}).scalar_one_or_none()
    if found is None:
        raise NotFoundError("job", job_id)
    return int(found)


def amend(store: Store, tenant: str, job_id: str, specify: Callable[[Job], Amendment]) -> Job:
    """The job with what `specify` changes of it. Raises NotFoundError, StateConflictError, and what `specify` raises."""
    job, _ = _moved(store, tenant, job_id, lambda job, now: amendment.amend(job, specify(job), now))
    return job


def cancel(store: Store, tenant: str, job_id: str, *, immediate: bool = False) -> tuple[Job, bool]:
    """The job cancelled or on its way there, and whether this call was what moved it. Raises NotFoundError, StateConflictError.

    An `immediate` one waits for no worker: the job is cancelled, and its worker hears at its next renewal that it lost it.
    """
    with store.write() as connection:
        before = rows.lock(connection, job_id, tenant)
        now = store.now(connection)
        after = rows.save(connection, before, lifecycle.cancel(before, now), Actor.CLIENT, now)
        if immediate and after.state is JobState.CANCELLING:
            after = rows.save(connection, after, lifecycle.cut_off(after, now), Actor.CLIENT, now)
    return after, after is not before


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
    found: dict[str, list[rows.Event]] = {job_id: [] for job_id in job_ids}
    with store.read() as connection:
        for row in connection.execute(_MOVES, {"job_ids": job_ids}).mappings():
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


def _found(connection: Connection, tenant: str, job_id: str) -> Job:
    row = connection.execute(_ONE, {"tenant": tenant, "id": job_id}).mappings().one_or_none()
    if row is None:
        raise NotFoundError("job", job_id)
    return rows.from_row(row)


def _moved(store: Store, tenant: str, job_id: str, deed: Callable[[Job, float], Job]) -> tuple[Job, bool]:
    with store.write() as connection:
        before = rows.lock(connection, job_id, tenant)
        now = store.now(connection)
        after = rows.save(connection, before, deed(before, now), Actor.CLIENT, now)
    return after, after is not before


def _once(store: Store, tenant: str, key: str | None, request: Json, make: Callable[[Connection, float], Job]) -> Submission:
    with store.write() as connection:
        now = store.now(connection)
        return submissions.once(connection, tenant, key, lambda: request, lambda: make(connection, now), now)


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

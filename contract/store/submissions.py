"""How jobs are submitted: those that are asked for at the same time share one commit, and none of them undoes another."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError

from contract.errors import GoneError, IdempotencyMismatchError
from contract.job import Job, Json
from contract.spec import JobSpec
from contract.store import backlog, beginnings, birth, rows
from contract.store.backlog import Place
from contract.store.engine import Store, told_as_ours
from contract.store.tables import jobs

MOST: Final = 256
"""Submissions in one commit: what waits for the lock meanwhile, as a worker's renewal, waits for some tenths of a second at most."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A submission as it was asked for."""

    tenant: str
    spec: JobSpec
    key: str | None = None
    """The client's idempotency key."""


@dataclass(frozen=True, slots=True)
class Submission:
    """What became of a submission: the job, and whether it is there since an earlier one that this one repeats."""

    job: Job
    replayed: bool
    place: Place | None = None
    """Where the job stood in the queue when it was written; None where nobody looked."""


def write(store: Store, asked: Sequence[Asked]) -> list[Submission | Exception]:
    """Write jobs down in one commit, and return once it is on the disk: what became of each, in order, or why it was refused.

    Each is written within a savepoint of its own, so that a refusal leaves the others. With an idempotency key used before, also by
    another of them, the first job is told; refused are, as by `jobs.submit`, what cannot be. Raises StoreUnavailableError where the
    commit fails, or the connection is lost: then none of them may be called submitted.
    """
    with store.write() as connection:
        now = store.now(connection)
        done = [_apart(connection, one, now) for one in asked]
        places = backlog.places_among(connection, [one.job for one in done if isinstance(one, Submission) and not one.replayed])
    return [replace(one, place=places.get(one.job.id)) if isinstance(one, Submission) else one for one in done]


def once(
    connection: Connection, tenant: str, key: str | None, request: Callable[[], Json], make: Callable[[], Job], now: float
) -> Submission:
    """The job that `make` makes of the request, or the one that it made when the key came with the same request before.

    Raises IdempotencyMismatchError where it came with another one, GoneError where that job was deleted.
    """
    if key is None:
        return Submission(rows.create(connection, make(), now), replayed=False)
    digest = birth.sha256(request())
    # Looked for first: what was asked once is answered again though by now it could not be asked anew.
    if earlier := _earlier(connection, tenant, key, digest):
        return Submission(earlier, replayed=True)
    job = replace(make(), idempotency_key=key, request_sha256=digest)
    try:
        with connection.begin_nested():
            return Submission(rows.create(connection, job, now), replayed=False)
    except IntegrityError:
        # Another process was first, on PostgreSQL; here its lock was waited for, and the row is there now.
        earlier = _earlier(connection, tenant, key, digest)
        if earlier is None:
            raise
        return Submission(earlier, replayed=True)


def _apart(connection: Connection, asked: Asked, now: float) -> Submission | Exception:
    savepoint = connection.begin_nested()
    try:
        with told_as_ours():
            done = _submitted(connection, asked, now)
    except Exception as error:
        if connection.invalidated:
            raise  # and with it what the others wrote
        savepoint.rollback()  # fails where the database has ended the whole transaction, as SQLite does on a full disk
        return error
    savepoint.commit()
    return done


def _submitted(connection: Connection, asked: Asked, now: float) -> Submission:
    def first() -> Job:
        beginnings.assert_there(connection, asked.tenant, asked.spec)
        return birth.of(asked.tenant, asked.spec, now)

    return once(connection, asked.tenant, asked.key, lambda: asked.spec.model_dump(mode="json"), first, now)


def _earlier(connection: Connection, tenant: str, key: str, digest: str) -> Job | None:
    query = select(jobs).where(jobs.c.tenant == tenant, jobs.c.idempotency_key == key)
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

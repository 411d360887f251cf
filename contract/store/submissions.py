"""How jobs are submitted: those that are asked for at the same time share one commit, and none of them undoes another."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection, NestedTransaction, bindparam, select
from sqlalchemy.exc import IntegrityError

from contract.errors import GoneError, IdempotencyMismatchError
from contract.job import Job, Json
from contract.spec import JobSpec
from contract.store import backlog, beginnings, birth, quotas, rows
from contract.store.backlog import Place
from contract.store.engine import Store, told_as_ours
from contract.store.tables import jobs

MOST: Final = 256
"""Submissions in one commit: what waits for the lock meanwhile, as a worker's renewal, waits for some tenths of a second at most."""

_KEYED: Final = select(jobs).where(jobs.c.tenant == bindparam("tenant"), jobs.c.idempotency_key.in_(bindparam("keys", expanding=True)))


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

    A refusal leaves the others. With an idempotency key used before, also by another of them, the first job is told; refused are, as
    by `jobs.submit`, what cannot be. Raises StoreUnavailableError where the commit fails, or the connection is lost: then none of them
    may be called submitted.
    """
    with store.write() as connection:
        now = store.now(connection)
        done = _in_order(connection, asked, now)
        places = backlog.places_among(connection, [one.job for one in done if isinstance(one, Submission) and not one.replayed])
    return [replace(one, place=places.get(one.job.id)) if isinstance(one, Submission) else one for one in done]


def once(
    connection: Connection, tenant: str, key: str | None, request: Callable[[], Json], make: Callable[[], Job], now: float
) -> Submission:
    """The job that `make` makes of the request, or the one that it made when the key came with the same request before.

    Raises IdempotencyMismatchError where it came with another one, GoneError where that job was deleted.
    """
    if key is None:
        job = make()
        rows.create(connection, [job], now)
        return Submission(job, replayed=False)
    digest = birth.sha256(request())
    # Looked for first: what was asked once is answered again though by now it could not be asked anew.
    if earlier := _earlier(connection, tenant, key):
        return _again(earlier, digest)
    job = replace(make(), idempotency_key=key, request_sha256=digest)
    try:
        with connection.begin_nested():
            rows.create(connection, [job], now)
    except IntegrityError:
        # Another process was first, on PostgreSQL; here its lock was waited for, and the row is there now.
        earlier = _earlier(connection, tenant, key)
        if earlier is None:
            raise
        return _again(earlier, digest)
    return Submission(job, replayed=False)


def _in_order(connection: Connection, asked: Sequence[Asked], now: float) -> list[Submission | Exception]:
    """What became of each, as they were asked; written by tenant and key, the same way in every process: two that were sent the same keys
    would else each hold one that the other waits for."""
    order = sorted(range(len(asked)), key=lambda place: (asked[place].tenant, asked[place].key or ""))
    done = dict(zip(order, _written(connection, [asked[place] for place in order], now), strict=True))
    return [done[place] for place in range(len(asked))]


def _written(connection: Connection, asked: Sequence[Asked], now: float) -> list[Submission | Exception]:
    """All of them by as few statements as one takes. Where that cannot be, each by itself, which tells what is wrong with which."""
    quotas.line_up(connection, {one.tenant for one in asked})
    savepoint = connection.begin_nested()
    try:
        done = _together(connection, asked, now)
    except Exception as error:
        _undo(connection, savepoint, error)
        return [_apart(connection, one, now) for one in asked]
    savepoint.commit()
    return done


def _together(connection: Connection, asked: Sequence[Asked], now: float) -> list[Submission | Exception]:
    known = {(job.tenant, job.idempotency_key): job for job in _known(connection, asked)}
    done: list[Submission | Exception] = []
    new: list[Job] = []
    for one in asked:
        if one.key is not None and (earlier := known.get((one.tenant, one.key))):
            done.append(_answer(earlier, one))
            continue
        beginnings.assert_there(connection, one.tenant, one.spec)
        job = birth.of(one.tenant, one.spec, now)
        if one.key is not None:
            job = known[one.tenant, one.key] = replace(job, idempotency_key=one.key, request_sha256=job.spec_sha256)
        new.append(job)
        done.append(Submission(job, replayed=False))
    if new:
        rows.create(connection, new, now)
    return done


def _known(connection: Connection, asked: Sequence[Asked]) -> Iterator[Job]:
    """The jobs that were made with one of these keys before."""
    keys: dict[str, list[str]] = defaultdict(list)
    for one in asked:
        if one.key is not None:
            keys[one.tenant].append(one.key)
    for tenant, named in keys.items():
        yield from map(rows.from_row, connection.execute(_KEYED, {"tenant": tenant, "keys": named}).mappings())


def _answer(earlier: Job, asked: Asked) -> Submission | Exception:
    try:
        return _again(earlier, birth.sha256(asked.spec.model_dump(mode="json")))
    except (IdempotencyMismatchError, GoneError) as error:
        return error


def _apart(connection: Connection, asked: Asked, now: float) -> Submission | Exception:
    savepoint = connection.begin_nested()
    try:
        with told_as_ours():
            done = _submitted(connection, asked, now)
    except Exception as error:
        _undo(connection, savepoint, error)
        return error
    savepoint.commit()
    return done


def _undo(connection: Connection, savepoint: NestedTransaction, error: Exception) -> None:
    """Go back to the savepoint. Raises the error where the connection is lost, and with it what the others wrote."""
    if connection.invalidated:
        raise error
    savepoint.rollback()  # fails where the database has ended the whole transaction, as SQLite does on a full disk


def _submitted(connection: Connection, asked: Asked, now: float) -> Submission:
    def first() -> Job:
        beginnings.assert_there(connection, asked.tenant, asked.spec)
        return birth.of(asked.tenant, asked.spec, now)

    return once(connection, asked.tenant, asked.key, lambda: asked.spec.model_dump(mode="json"), first, now)


def _earlier(connection: Connection, tenant: str, key: str) -> Job | None:
    row = connection.execute(_KEYED, {"tenant": tenant, "keys": [key]}).mappings().one_or_none()
    return None if row is None else rows.from_row(row)


def _again(job: Job, digest: str) -> Submission:
    """The job that a key made, for a request of this digest under the same key."""
    if job.request_sha256 != digest:
        raise IdempotencyMismatchError(f"the Idempotency-Key was used for job {job.id} with another request; take a new key for a new job")
    if job.deleted_at is not None:
        # A late repetition must not bring back what was deleted on purpose.
        raise GoneError(f"the Idempotency-Key was used for job {job.id}, which was deleted since; take a new key for a new job")
    return Submission(job, replayed=True)

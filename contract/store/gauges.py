"""What an operator watches of the store: how much waits and works, and the counts that are 0 as long as no promise is broken."""

from dataclasses import dataclass

from sqlalchemy import Connection, and_, exists, func, select

from contract.job import HELD, OPEN, JobState
from contract.store.engine import Store
from contract.store.tables import checkpoints, jobs, results, workers
from contract.store.workers import FRESH_SECONDS

OVERDUE_SECONDS = 10.0
"""How long after the end of a lease somebody should have noticed it."""
UNCLAIMED_SECONDS = 30.0
"""How long a job may be left where a worker that could take it is idle: many times the pace at which idle workers look."""
LOOKED_BACK_SECONDS = 86_400.0
"""How far back jobs that have ended are looked at: a scrape must stay cheap when there are a million of them."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The queue for one device, `auto` for the jobs that take any."""

    device: str
    jobs: int
    oldest_seconds: float
    """Since when the one that waits longest could have been claimed."""


@dataclass(frozen=True, slots=True)
class Gauges:
    """All tenants' together."""

    jobs: dict[str, int]
    """By state; those that have none are there with 0."""
    waiting: list[Waiting]
    workers: dict[tuple[str, bool], int]
    """By state, and whether it was heard of lately."""
    running_lease_expired: int
    """Jobs that nobody holds any longer and that nobody has put back: is a reconciler alive?"""
    queued_unclaimed: int
    """Jobs left waiting although a worker that could take them is idle."""
    succeeded_without_result: int
    """Of the last day."""
    checkpoint_missing: int
    """Jobs that have not ended and whose last checkpoint is not kept."""


def read(store: Store) -> Gauges:
    """Everything in one transaction. Raises StoreUnavailableError."""
    with store.read() as connection:
        now = store.now(connection)
        return Gauges(
            jobs=_by_state(connection),
            waiting=_waiting(connection, now),
            workers=_workers(connection, now),
            running_lease_expired=_running_lease_expired(connection, now),
            queued_unclaimed=_queued_unclaimed(connection, now),
            succeeded_without_result=_succeeded_without_result(connection, now),
            checkpoint_missing=_checkpoint_missing(connection),
        )


def _by_state(connection: Connection) -> dict[str, int]:
    found = connection.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state)).all()
    return {state.value: 0 for state in JobState} | dict(found)


def _waiting(connection: Connection, now: float) -> list[Waiting]:
    query = (
        select(jobs.c.device, func.count(), func.min(jobs.c.available_at))
        .where(jobs.c.state == JobState.QUEUED.value)
        .group_by(jobs.c.device)
        .order_by(jobs.c.device)
    )
    return [Waiting(device, count, max(0.0, now - since)) for device, count, since in connection.execute(query)]


def _workers(connection: Connection, now: float) -> dict[tuple[str, bool], int]:
    found: dict[tuple[str, bool], int] = {}
    for state, last_seen in connection.execute(select(workers.c.state, workers.c.last_seen)):
        key = (state, now - last_seen < FRESH_SECONDS)
        found[key] = found.get(key, 0) + 1
    return found


def _running_lease_expired(connection: Connection, now: float) -> int:
    held = [state.value for state in HELD]
    query = select(func.count()).select_from(jobs).where(jobs.c.state.in_(held), jobs.c.lease_until < now - OVERDUE_SECONDS)
    return connection.execute(query).scalar_one()


def _queued_unclaimed(connection: Connection, now: float) -> int:
    # First what is idle: to look for a worker for each job would be to look at every worker for every job.
    idle = select(workers.c.device).where(workers.c.state == "idle", workers.c.last_seen > now - FRESH_SECONDS).distinct()
    devices = connection.execute(idle).scalars().all()
    if not devices:
        return 0
    query = (
        select(func.count())
        .select_from(jobs)
        .where(
            jobs.c.state == JobState.QUEUED.value,
            jobs.c.available_at < now - UNCLAIMED_SECONDS,
            jobs.c.cancel_requested_at.is_(None),
            # A job that must go on where it began waits rightly while only workers of another class are idle.
            jobs.c.resumes_on.is_(None),
            jobs.c.device.in_(["auto", *devices]),
        )
    )
    return connection.execute(query).scalar_one()


def _succeeded_without_result(connection: Connection, now: float) -> int:
    query = (
        select(func.count())
        .select_from(jobs)
        .where(
            # In these words, or SQLite takes the index of the states and passes over all that ever succeeded.
            jobs.c.state.not_in([JobState.FAILED.value, JobState.CANCELLED.value]),
            jobs.c.finished_at > now - LOOKED_BACK_SECONDS,
            ~exists().where(results.c.job_id == jobs.c.id),
        )
    )
    return connection.execute(query).scalar_one()


def _checkpoint_missing(connection: Connection) -> int:
    is_open = jobs.c.state.in_([state.value for state in OPEN])
    kept = exists().where(and_(checkpoints.c.id == jobs.c.checkpoint_id, checkpoints.c.deleted_at.is_(None)))
    query = select(func.count()).select_from(jobs).where(is_open, jobs.c.checkpoint_id.is_not(None), ~kept)
    return connection.execute(query).scalar_one()

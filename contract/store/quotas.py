"""How much a tenant may have at once, and how much it has."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select, text, update

from contract.errors import QuotaExceededError, QuotaSpentError
from contract.job import HELD, Job, JobState
from contract.store.engine import Store, alone
from contract.store.tables import checkpoints, datasets, device_use, jobs, quotas

EVERYBODY: Final = "*"
"""In place of a tenant: those without limits of their own."""
_HELD: Final = [state.value for state in HELD]
_OF_TENANT: Final = select(quotas).where(or_(quotas.c.tenant == bindparam("tenant"), quotas.c.tenant == EVERYBODY))
_ONE_CLAIM_AT_A_TIME: Final = text("SELECT pg_advisory_xact_lock(7421002)")


@dataclass(frozen=True, slots=True)
class Limits:
    """The most of each; None for no limit."""

    running_jobs: int | None = None
    queued_jobs: int | None = None
    stored_bytes: int | None = None
    device_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Used:
    """How much of each a tenant has."""

    running_jobs: int
    queued_jobs: int
    stored_bytes: int
    """Of checkpoints and uploaded data sets that are kept."""
    device_seconds: float
    """Since its first job: how long workers held its jobs, those that hold one now among them."""


def limits(store: Store, tenant: str) -> Limits:
    """What holds for the tenant: its own limits, or those of everybody."""
    with store.read() as connection:
        return _limits(connection, tenant)


def used(store: Store, tenant: str) -> Used:
    """What the tenant has now."""
    with store.read() as connection:
        return _used(connection, tenant, store.now(connection))


def put(store: Store, tenant: str, limits: Limits) -> None:
    """Give a tenant, or `EVERYBODY`, these limits. What exceeds them already stays."""
    with store.write() as connection:
        alone(connection, f"limits of {tenant}")
        connection.execute(delete(quotas).where(quotas.c.tenant == tenant))
        connection.execute(insert(quotas).values(tenant=tenant, updated_at=store.now(connection), **asdict(limits)))


def remove(store: Store, tenant: str) -> None:
    """Have the limits of everybody hold for the tenant again. Harmless to repeat."""
    with store.write() as connection:
        connection.execute(delete(quotas).where(quotas.c.tenant == tenant))


def settle(store: Store, everybody: Limits) -> None:
    """Have the operator's settings hold for everybody: workers read them from here. Writes only what changed."""
    if limits(store, EVERYBODY) == everybody:
        return
    if everybody == Limits():
        remove(store, EVERYBODY)
    else:
        put(store, EVERYBODY, everybody)


def line_up(connection: Connection, tenants: Iterable[str]) -> None:
    """Hold off others that count what these tenants have, before anything is written for them; always in the same order.

    On PostgreSQL two that write for the same tenants, and wait for each other's rows besides, would else wait in a circle.
    """
    if connection.dialect.name == "postgresql":
        for tenant in sorted(set(tenants)):
            if _limits(connection, tenant) != Limits():
                counting(connection, tenant)


def assert_room_for_jobs(connection: Connection, tenant: str, now: float) -> None:
    """Raises QuotaExceededError, or QuotaSpentError, where the tenant may not have the jobs just written."""
    allowed = _limits(connection, tenant)
    if allowed == Limits():
        return  # mostly: then nothing has to be counted
    counting(connection, tenant)
    have = _used(connection, tenant, now)
    if allowed.queued_jobs is not None and have.queued_jobs > allowed.queued_jobs:
        raise QuotaExceededError(
            f"{have.queued_jobs - 1} of your jobs are queued and {allowed.queued_jobs} may be; wait for one to start, or cancel one"
        )
    if allowed.device_seconds is not None and have.device_seconds >= allowed.device_seconds:
        raise QuotaSpentError(
            f"your jobs have used {have.device_seconds:.0f} of {allowed.device_seconds:g} device seconds; ask the operator for more"
        )
    _assert_room_for_bytes(allowed, have, 1)


def assert_room_for_bytes(connection: Connection, tenant: str, more: int, now: float) -> None:
    """Raises QuotaSpentError where the tenant may not store so many bytes more. To be asked after `counting`."""
    allowed = _limits(connection, tenant)
    if allowed.stored_bytes is not None:
        _assert_room_for_bytes(allowed, _used(connection, tenant, now), more)


def counting(connection: Connection, tenant: str) -> None:
    """Hold off others that are about to count what the tenant has, so that two that both find room do not both take it."""
    alone(connection, f"quota of {tenant}")


def full(connection: Connection, *, is_sqlite: bool) -> list[str]:
    """The tenants that have as many jobs running as they may: no job of theirs is to be claimed within this transaction."""
    rows = connection.execute(select(quotas.c.tenant, quotas.c.running_jobs)).all()
    most: Mapping[str, int | None] = {row.tenant: row.running_jobs for row in rows}
    if not any(limit is not None for limit in most.values()):
        return []
    if not is_sqlite:
        # Two claims at once would each see the other's job still queued.
        connection.execute(_ONE_CLAIM_AT_A_TIME)
    held = connection.execute(select(jobs.c.tenant, func.count()).where(jobs.c.state.in_(_HELD)).group_by(jobs.c.tenant)).all()
    running = dict.fromkeys(most, 0) | {tenant: int(count) for tenant, count in held}
    # A limit of nothing holds for tenants that nothing runs for, too: theirs are named, everybody else's are not known here.
    allowed = {tenant: most.get(tenant, most.get(EVERYBODY)) for tenant in running}
    return [tenant for tenant, limit in allowed.items() if limit is not None and running[tenant] >= limit]


def note_move(connection: Connection, before: Job, after: Job, now: float) -> None:
    """Count the time of a job whose worker changed: from when one held it to when none does."""
    if before.is_held == after.is_held:
        return
    row = device_use.c.job_id == after.id
    if after.is_held:
        if connection.execute(update(device_use).where(row).values(since=now)).rowcount == 0:
            connection.execute(insert(device_use).values(job_id=after.id, tenant=after.tenant, since=now, seconds=0.0))
        return
    spent = device_use.c.seconds + func.coalesce(now - device_use.c.since, 0.0)
    connection.execute(update(device_use).where(row).values(since=None, seconds=spent))


def _limits(connection: Connection, tenant: str) -> Limits:
    rows = connection.execute(_OF_TENANT, {"tenant": tenant}).mappings().all()
    found = {row["tenant"]: Limits(**{field.name: row[field.name] for field in fields(Limits)}) for row in rows}
    return found.get(tenant) or found.get(EVERYBODY) or Limits()


def _used(connection: Connection, tenant: str, now: float) -> Used:
    states = select(jobs.c.state, func.count()).where(jobs.c.tenant == tenant, jobs.c.state.in_([*_HELD, JobState.QUEUED.value]))
    count = {state: int(number) for state, number in connection.execute(states.group_by(jobs.c.state)).all()}
    queued = count.pop(JobState.QUEUED.value, 0)
    seconds = func.sum(device_use.c.seconds + func.coalesce(now - device_use.c.since, 0.0))
    spent = connection.execute(select(seconds).where(device_use.c.tenant == tenant)).scalar_one()
    return Used(sum(count.values()), queued, _stored_bytes(connection, tenant), float(spent or 0.0))


def _stored_bytes(connection: Connection, tenant: str) -> int:
    kept = select(func.sum(checkpoints.c.size_bytes)).join(jobs, jobs.c.id == checkpoints.c.job_id)
    uploaded = select(func.sum(datasets.c.size_bytes)).where(datasets.c.tenant == tenant, datasets.c.state != "deleted")
    of_jobs = connection.execute(kept.where(jobs.c.tenant == tenant, checkpoints.c.deleted_at.is_(None))).scalar_one() or 0
    return int(of_jobs) + int(connection.execute(uploaded).scalar_one() or 0)


def _assert_room_for_bytes(allowed: Limits, have: Used, more: int) -> None:
    if allowed.stored_bytes is not None and have.stored_bytes + more > allowed.stored_bytes:
        raise QuotaSpentError(
            f"you have {have.stored_bytes:,} bytes stored and may have {allowed.stored_bytes:,}; delete checkpoints, data sets or jobs"
        )

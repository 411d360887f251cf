"""How much work waits, how much of it is under way, and how long such work took lately."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import BindParameter, Connection, Label, Select, bindparam, func, select

from contract.job import HELD, OPEN, Job, JobState
from contract.spec import JobSpec
from contract.store.engine import Store
from contract.store.tables import jobs, results

Kind = tuple[str, str]
"""Jobs that take alike long for an epoch: of the same kind of model on the same data, by its id or name."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a queued job stands: from 1, and how many are before it."""

    position: int
    jobs_ahead: int


@dataclass(frozen=True, slots=True)
class Task:
    """A job as far as its length goes: the epochs that are left of it."""

    kind: Kind
    epochs: int


@dataclass(frozen=True, slots=True)
class Measured:
    """How long a job took that has succeeded."""

    kind: Kind
    seconds: float
    epochs: int


@dataclass(frozen=True, slots=True)
class Depth:
    """So many of a tenant's jobs are in this state and ask for this device."""

    state: JobState
    device: str
    jobs: int
    oldest_seconds: float
    """Since the first of them was submitted."""


def kind_of(spec: JobSpec) -> Kind:
    """Which jobs take alike long as one of this spec."""
    return spec.model.kind, getattr(spec.dataset, "id", None) or spec.dataset.name


def places(store: Store, found: Sequence[Job]) -> dict[str, Place]:
    """Where each of these jobs that is queued stands among all queued ones."""
    if not any(job.state is JobState.QUEUED for job in found):
        return {}
    with store.read() as connection:
        return places_among(connection, found)


def places_among(connection: Connection, found: Sequence[Job]) -> dict[str, Place]:
    """As `places`, within a transaction."""
    waiting: dict[int, list[str]] = defaultdict(list)
    for job in found:
        if job.state is JobState.QUEUED:
            waiting[job.priority].append(job.id)
    standing: dict[str, Place] = {}
    for priority, job_ids in waiting.items():
        asked = {"priority": priority, "first": min(job_ids), "last": max(job_ids), "job_ids": job_ids}
        standing |= {row.id: Place(row.position, row.position - 1) for row in connection.execute(_standing(), asked)}
    return standing


@cache
def _standing() -> Select[*tuple[Any, ...]]:
    """Positions of queued jobs of a priority. What is before all of them is counted in the index and not numbered row by row."""
    queue = jobs.c.state == JobState.QUEUED.value
    alike = queue & (jobs.c.priority == bindparam("priority"))
    first: BindParameter[str] = bindparam("first")
    before = select(func.count()).select_from(jobs).where(queue, jobs.c.priority > bindparam("priority")).scalar_subquery()
    older = select(func.count()).select_from(jobs).where(alike, jobs.c.id < first).scalar_subquery()
    number = (before + older + func.row_number().over(order_by=jobs.c.id)).label("position")
    ranked = select(jobs.c.id, number).where(alike, jobs.c.id.between(first, bindparam("last"))).subquery()
    return select(ranked).where(ranked.c.id.in_(bindparam("job_ids", expanding=True)))


def queued(store: Store, limit: int) -> list[Task]:
    """The first so many of the queue, whoever's they are, in the order in which they will start."""
    return _tasks(store, _task().where(jobs.c.state == JobState.QUEUED.value).order_by(jobs.c.priority.desc(), jobs.c.id).limit(limit))


def held(store: Store) -> list[Task]:
    """What workers have in hand."""
    return _tasks(store, _task().where(jobs.c.state.in_([state.value for state in HELD])))


def measured(store: Store, limit: int) -> list[Measured]:
    """How long the latest so many successes took to train."""
    seconds, epochs = results.c.body[("timings", "train")].as_float(), results.c.body["epochs"].as_integer()
    query = (
        select(*_kind(), seconds.label("seconds"), epochs.label("epochs"))
        .join(results, results.c.job_id == jobs.c.id)
        # Only what succeeded has a result. To ask for the state would have SQLite sort all that ever did.
        .where(jobs.c.finished_at.is_not(None))
        .order_by(jobs.c.finished_at.desc())
        .limit(limit)
    )
    with store.read() as connection:
        found = connection.execute(query).all()
    return [Measured((row.model, row.data), row.seconds, row.epochs) for row in found if row.seconds and row.epochs]


def depths(store: Store, tenant: str) -> list[Depth]:
    """The tenant's jobs that have not ended, by state and device."""
    query = (
        select(jobs.c.state, jobs.c.device, func.count().label("jobs"), func.min(jobs.c.created_at).label("oldest_at"))
        .where(jobs.c.tenant == tenant, jobs.c.state.in_([state.value for state in OPEN]))
        .group_by(jobs.c.state, jobs.c.device)
        .order_by(jobs.c.state, jobs.c.device)
    )
    with store.read() as connection:
        now = store.now(connection)
        return [Depth(JobState(row.state), row.device, row.jobs, max(0.0, now - row.oldest_at)) for row in connection.execute(query)]


def ahead(store: Store, priority: int) -> int:
    """How many queued jobs, whoever's they are, start before one that is submitted now."""
    query = select(func.count()).select_from(jobs).where(jobs.c.state == JobState.QUEUED.value, jobs.c.priority >= priority)
    with store.read() as connection:
        return int(connection.execute(query).scalar_one())


def _kind() -> tuple[Label[str], Label[str]]:
    model, data = jobs.c.spec[("model", "kind")].as_string(), jobs.c.spec["dataset"]
    return model.label("model"), func.coalesce(data["id"].as_string(), data["name"].as_string()).label("data")


def _task() -> Select[*tuple[Any, ...]]:
    return select(*_kind(), jobs.c.epochs, jobs.c.epoch)


def _tasks(store: Store, query: Select[*tuple[Any, ...]]) -> list[Task]:
    with store.read() as connection:
        return [Task((row.model, row.data), max(0, row.epochs - row.epoch)) for row in connection.execute(query)]

"""Which jobs a list shows, and in which order, so that a walk through its pages is one walk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from sqlalchemy import ColumnElement, String, and_, func, or_, select

from contract.job import Job, JobState
from contract.store import rows
from contract.store.engine import Store
from contract.store.tables import jobs

Sort = Literal["-created_at", "created_at", "-priority", "priority"]
"""`-` is downwards. By priority, jobs of the same one stand in the order in which a queue takes them, or in the reverse of it."""


_PREFIX: Final = "job_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What a job must be to be shown; what is left out does not matter."""

    states: Sequence[JobState] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    """Metadata that it bears, all of them."""
    created_from: float | None = None
    """Seconds since 1970, this moment included."""
    created_until: float | None = None
    """Seconds since 1970, this moment excluded."""
    text: str | None = None
    """Part of its name or id, in upper or lower case."""
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended: the last job's priority and id."""

    priority: int
    id: str


def page(
    store: Store,
    tenant: str,
    limit: int,
    filters: Filters = Filters(),
    sort: Sort = "-created_at",
    after: Place | None = None,
) -> list[Job]:
    """Up to `limit` jobs that pass the filters, those behind `after` in the order of `sort`."""
    query = select(jobs).where(jobs.c.tenant == tenant, jobs.c.deleted_at.is_(None), *_conditions(filters))
    if after is not None:
        query = query.where(_behind(sort, after))
    with store.read() as connection:
        return [rows.from_row(row) for row in connection.execute(query.order_by(*_order(sort)).limit(limit)).mappings()]


def _conditions(filters: Filters) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [jobs.c.metadata[name].as_string() == value for name, value in filters.labels.items()]
    if filters.states:
        found.append(jobs.c.state.in_([state.value for state in filters.states]))
    if filters.created_from is not None:
        found.append(jobs.c.created_at >= filters.created_from)
    if filters.created_until is not None:
        found.append(jobs.c.created_at < filters.created_until)
    if filters.text is not None:
        found.append(_contains(filters.text))
    if filters.parent is not None:
        found.append(jobs.c.parent_job_id == filters.parent)
    return found


def _contains(text: str) -> ColumnElement[bool]:
    # Every id begins with `job_`: what is looked for in there would be found in all of them.
    tail = func.substr(jobs.c.id, len(_PREFIX) + 1, type_=String)
    return or_(jobs.c.name.icontains(text, autoescape=True), tail.icontains(text.lower().removeprefix(_PREFIX), autoescape=True))


def _order(sort: Sort) -> tuple[ColumnElement[object], ...]:
    # Ids sort by time of submission.
    match sort:
        case "-created_at":
            return (jobs.c.id.desc(),)
        case "created_at":
            return (jobs.c.id.asc(),)
        case "-priority":
            return (jobs.c.priority.desc(), jobs.c.id.asc())
        case "priority":
            return (jobs.c.priority.asc(), jobs.c.id.desc())


def _behind(sort: Sort, after: Place) -> ColumnElement[bool]:
    same = jobs.c.priority == after.priority
    match sort:
        case "-created_at":
            return jobs.c.id < after.id
        case "created_at":
            return jobs.c.id > after.id
        case "-priority":
            return or_(jobs.c.priority < after.priority, and_(same, jobs.c.id > after.id))
        case "priority":
            return or_(jobs.c.priority > after.priority, and_(same, jobs.c.id < after.id))

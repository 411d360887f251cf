"""Which jobs a list shows, and in which order, so that a walk through its pages is one walk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Select, String, and_, func, or_, select, type_coerce, union_all
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.base import ReadOnlyColumnCollection

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
    conditions = [jobs.c.tenant == tenant, jobs.c.deleted_at.is_(None), *_conditions(filters, is_sqlite=store.is_sqlite)]
    if after is not None:
        conditions.append(_behind(sort, after))
    query = _of_states(select(jobs).where(*conditions).order_by(*_order(sort)).limit(limit), filters.states, sort, limit)
    with store.read() as connection:
        return [rows.from_row(row) for row in connection.execute(query).mappings()]


def _of_states(query: Select[Any], states: Sequence[JobState], sort: Sort, limit: int) -> Select[Any]:
    """The query for jobs in one of the states, if any is named.

    Each state has a page of its own, by the index of tenant, state and id, and the page is taken from these: asked for several at once a
    database walks through all jobs of the tenant, which is long where few are in these states, or sorts all that are, of which there may
    be many.
    """
    each = [query.where(jobs.c.state == state.value) for state in dict.fromkeys(states)]
    if len(each) < 2:
        return each[0] if each else query
    found = union_all(*(select(one.subquery()) for one in each)).subquery()
    return select(found).order_by(*_order(sort, found.c)).limit(limit)


def _conditions(filters: Filters, *, is_sqlite: bool) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if filters.labels and not is_sqlite:
        found.append(type_coerce(jobs.c.metadata, JSONB).contains(dict(filters.labels)))  # as the index of labels takes it
    elif filters.labels:
        found += [jobs.c.metadata[name].as_string() == value for name, value in filters.labels.items()]
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


def _order(sort: Sort, columns: ReadOnlyColumnCollection[str, ColumnElement[Any]] = jobs.c) -> tuple[ColumnElement[object], ...]:
    # Ids sort by time of submission.
    match sort:
        case "-created_at":
            return (columns.id.desc(),)
        case "created_at":
            return (columns.id.asc(),)
        case "-priority":
            return (columns.priority.desc(), columns.id.asc())
        case "priority":
            return (columns.priority.asc(), columns.id.desc())


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

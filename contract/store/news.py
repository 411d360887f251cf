"""What is new of many jobs at once: those that changed since they were last looked at, and the events that came."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from sqlalchemy import bindparam, select, tuple_

from contract.job import Job
from contract.store import rows
from contract.store.engine import Store
from contract.store.tables import job_events, jobs

T = TypeVar("T")
_AT_ONCE: Final = 1000
"""Of ids in a statement: SQLite takes some thirty thousand parameters, and older ones a thousand."""
_STANDING: Final = select(jobs.c.id, jobs.c.version).where(jobs.c.id.in_(bindparam("ids", expanding=True)), jobs.c.deleted_at.is_(None))
_WHOLE: Final = select(jobs).where(jobs.c.id.in_(bindparam("ids", expanding=True)))
_EVENTS: Final = (
    select(job_events)
    .where(tuple_(job_events.c.job_id, job_events.c.seq).in_(bindparam("places", expanding=True)))
    .order_by(job_events.c.job_id, job_events.c.seq)
)


@dataclass(frozen=True, slots=True)
class Known:
    """How far a job is known."""

    version: int | None
    """None where not all of this version's events are."""
    event_seq: int
    """Of the newest event that is."""


@dataclass(frozen=True, slots=True)
class News:
    """A job that changed."""

    job: Job
    events: list[rows.Event]
    """Those above the known seq, oldest first, without a gap; not all of them where there are many."""


def of(store: Store, known: Mapping[str, Known], most_events: int) -> dict[str, News | None]:
    """The jobs that changed, with up to `most_events` of each; None for one that is gone. One statement where nothing is new."""
    with store.read() as connection:
        versions = {row.id: row.version for ids in _parts([*known]) for row in connection.execute(_STANDING, {"ids": ids})}
        changed = [job_id for job_id, version in versions.items() if version != known[job_id].version]
        found = [rows.from_row(row) for ids in _parts(changed) for row in connection.execute(_WHOLE, {"ids": ids}).mappings()]
        # Seqs have no gaps, so that each event can be asked for by its place: an index finds it, however long the job's history is.
        places = [(job.id, seq) for job in found for seq in _new(known[job.id].event_seq, job.event_seq, most_events)]
        events: dict[str, list[rows.Event]] = {job.id: [] for job in found}
        for part in _parts(places):
            for row in connection.execute(_EVENTS, {"places": part}).mappings():
                events[row["job_id"]].append(rows.Event(**row))
    gone = dict.fromkeys(job_id for job_id in known if job_id not in versions)
    return gone | {job.id: News(job, events[job.id]) for job in found}


def _new(known: int, newest: int, most: int) -> range:
    return range(known + 1, min(newest, known + most) + 1)


def _parts(whole: Sequence[T]) -> Iterator[Sequence[T]]:
    return (whole[start : start + _AT_ONCE] for start in range(0, len(whole), _AT_ONCE))

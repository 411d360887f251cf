"""What a job logged, found by level and by words: its moves, its warnings, and what its trainer said last before it died."""

from collections.abc import Sequence
from typing import Final, get_args

from sqlalchemy import ColumnElement, or_, select

from contract.store import rows
from contract.store.engine import Store
from contract.store.rows import Level
from contract.store.tables import job_events

TYPES: Final = ("status", "warning", "log")
"""Epochs and checkpoints are told by the metrics and the checkpoints themselves."""
ATTACHED: Final = ("stderr", "stack")
"""Under which names an event's data holds lines of the trainer's."""


def found(store: Store, job_id: str, at_least: Level, words: str, after: int, limit: int) -> Sequence[rows.Event]:
    """Up to `limit` of them above seq `after`, oldest first. `words` are looked for as they are, in whatever case."""
    with store.read() as connection:
        query = select(job_events).where(*_wanted(job_id, at_least, words, after)).order_by(job_events.c.seq).limit(limit)
        return [rows.Event(**row) for row in connection.execute(query).mappings()]


def newest(store: Store, job_id: str, at_least: Level, words: str, after: int, limit: int) -> Sequence[rows.Event]:
    """The last `limit` of the same, oldest first."""
    with store.read() as connection:
        query = select(job_events).where(*_wanted(job_id, at_least, words, after)).order_by(job_events.c.seq.desc()).limit(limit)
        return [rows.Event(**row) for row in connection.execute(query).mappings()][::-1]


def _wanted(job_id: str, at_least: Level, words: str, after: int) -> Sequence[ColumnElement[bool]]:
    levels = get_args(Level)
    wanted = [
        job_events.c.job_id == job_id,
        job_events.c.seq > after,
        job_events.c.type.in_(TYPES),
        job_events.c.level.in_(levels[levels.index(at_least) :]),
    ]
    if words:
        texts = (job_events.c.message, *(job_events.c.data[name].as_string() for name in ATTACHED))
        wanted.append(or_(*(text.icontains(words, autoescape=True) for text in texts)))
    return wanted

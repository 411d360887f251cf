"""The numbers of a job, one row for each step reported and each epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from contract import numbers
from contract.job import Json
from contract.store.engine import Store
from contract.store.tables import metrics

Scope = Literal["step", "epoch"]
_PIECE = 1000
"""Rows a statement: databases bound its variables, and after an outage there is much to tell."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Metric values after `step`: means since the last report (`step`), or of a whole epoch (`epoch`)."""

    step: int
    scope: Scope
    epoch: int
    values: Json


@dataclass(frozen=True, slots=True)
class Point:
    """A stored sample and when it was stored."""

    step: int
    scope: str
    epoch: int
    at: float
    values: Json


def record(connection: Connection, job_id: str, now: float, samples: Sequence[Sample]) -> None:
    """Write samples down. A step that was trained again after a resume takes the place of what was there."""
    if not samples:
        return
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    # One statement may not touch a row twice: of two samples of a step, the later one counts.
    latest = {(sample.step, sample.scope): sample for sample in samples}
    values = [
        {"job_id": job_id, "step": s.step, "scope": s.scope, "epoch": s.epoch, "at": now, "values": numbers.to_json(s.values)}
        for s in latest.values()
    ]
    for start in range(0, len(values), _PIECE):
        statement = dialect.insert(metrics).values(values[start : start + _PIECE])
        replaced = {name: statement.excluded[name] for name in ("epoch", "at", "values")}
        connection.execute(statement.on_conflict_do_update(index_elements=["job_id", "step", "scope"], set_=replaced))


def read(
    store: Store, job_id: str, scope: Scope | None = None, step_from: int = 0, step_to: int | None = None, limit: int = 5000
) -> list[Point]:
    """Up to `limit` points from `step_from` up to and with `step_to`, in the order of the steps."""
    query = (
        select(metrics)
        .where(metrics.c.job_id == job_id, metrics.c.step >= step_from)
        .order_by(metrics.c.step, metrics.c.scope.desc())
        .limit(limit)
    )
    if step_to is not None:
        query = query.where(metrics.c.step <= step_to)
    if scope is not None:
        query = query.where(metrics.c.scope == scope)
    with store.read() as connection:
        return [Point(r["step"], r["scope"], r["epoch"], r["at"], r["values"]) for r in connection.execute(query).mappings()]

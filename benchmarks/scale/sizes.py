"""How many rows and bytes a job leaves in each table, indexes with it: measured on jobs that real calls of the store have written."""

from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import func, select, text

from benchmarks.scale import fleet, invariants
from benchmarks.scale.fake import Course
from benchmarks.scale.fleet import Plan
from contract.spec import JobSpec
from contract.store import Store, jobs, tables

TABLES: Final = ("jobs", "job_events", "metrics", "checkpoints", "results", "device_use")
_WORKERS: Final = 4


@dataclass(frozen=True, slots=True)
class Footprint:
    """Of one table."""

    table: str
    rows: float
    """A job."""
    bytes: float
    """A row, its entries in indexes with it."""


def measured(store: Store, url: str, course: Course, many: int) -> list[Footprint]:
    """Have so many jobs trained, after a few whose pages are not counted, and look at what they left."""
    before = _trained(store, url, course, _WORKERS)
    after = _trained(store, url, course, many)
    return [
        Footprint(name, (rows - before[name][0]) / many, (size - before[name][1]) / max(rows - before[name][0], 1))
        for name, (rows, size) in after.items()
    ]


def _trained(store: Store, url: str, course: Course, many: int) -> dict[str, tuple[int, int]]:
    """Rows and bytes of each table after so many jobs more."""
    submit(store, course, many)
    hurried = replace(course, renew_seconds=0.02, poll_seconds=0.2)
    fleet.run(Plan(url, _WORKERS, hurried, _WORKERS, None, 0.2), processes=1)
    if set(left := invariants.by_state(store)) != {"succeeded"}:
        raise SystemExit(f"{left}: not all jobs were trained in time; ask for fewer by --jobs")
    store.engine.dispose()
    if not store.is_sqlite:
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM FULL")
    return {table: _footprint(store, table) for table in TABLES}


def submit(store: Store, course: Course, many: int) -> None:
    """Put jobs of this course into the queue, as a client does."""
    spec = JobSpec.model_validate({"epochs": course.epochs, "metadata": {"team": "vision", "run": "r1"}})
    for _ in range(many):
        jobs.submit(store, "default", spec)


def _footprint(store: Store, table: str) -> tuple[int, int]:
    with store.read() as connection:
        rows = int(connection.execute(select(func.count()).select_from(tables.metadata.tables[table])).scalar_one())
        if store.is_sqlite:
            query = "SELECT sum(pgsize) FROM dbstat WHERE name IN (SELECT name FROM sqlite_master WHERE tbl_name = :name)"
        else:
            query = "SELECT pg_total_relation_size(CAST(:name AS regclass))"
        size = int(connection.execute(text(query), {"name": table}).scalar_one() or 0)
    return rows, size

"""How much of the database a deed of the store reads: the statements it really sends, explained by the database itself."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, event

from contract.store import Store

_STRIDE = 10
"""SQLite counts its steps in tens."""


@dataclass(frozen=True, slots=True)
class Work:
    """What one statement cost."""

    statement: str
    touched: int
    """PostgreSQL: rows that its scans looked at, kept or not. SQLite: steps of its machine, a few for each row."""
    plan: tuple[str, ...]
    """The scans of it, each with table and index."""
    milliseconds: float
    """PostgreSQL: as executed, without planning. SQLite: 0."""


def of(store: Store, deed: Callable[[Store], object]) -> list[Work]:
    """Do the deed, then explain each SELECT that it sent. Only sends: what the deed wrote stays."""
    with _heard(store) as sent:
        deed(store)
    with store.write() as connection:
        found = [_explained(store, connection, statement, parameters) for statement, parameters in sent]
        connection.rollback()
    return found


@contextmanager
def _heard(store: Store) -> Iterator[list[tuple[str, Any]]]:
    sent: list[tuple[str, Any]] = []

    def hear(_c: object, _cursor: object, statement: str, parameters: Any, _context: object, many: bool) -> None:
        if not many and statement.startswith(("SELECT", "WITH")) and "FROM " in statement and "clock_timestamp" not in statement:
            sent.append((statement, parameters))

    event.listen(store.engine, "before_cursor_execute", hear)
    try:
        yield sent
    finally:
        event.remove(store.engine, "before_cursor_execute", hear)


def _explained(store: Store, connection: Connection, statement: str, parameters: Any) -> Work:
    return (_of_sqlite if store.is_sqlite else _of_postgresql)(connection, statement, parameters)


def _of_postgresql(connection: Connection, statement: str, parameters: Any) -> Work:
    found = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters).scalar_one()
    top = (found if isinstance(found, list) else json.loads(found))[0]
    scans = list(_scans(top["Plan"]))
    plan = tuple(f"{scan['Node Type']} {scan.get('Relation Name', '')} {scan.get('Index Name', '')}".strip() for scan in scans)
    return Work(statement, sum(map(_touched, scans)), plan, top["Execution Time"])


def _scans(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    # What a bitmap brings is counted where the index gives it.
    if node["Node Type"].endswith(" Scan") and node["Node Type"] not in {"Subquery Scan", "CTE Scan", "Bitmap Heap Scan"}:
        yield node
    for below in node.get("Plans", ()):
        yield from _scans(below)


def _touched(scan: dict[str, Any]) -> int:
    rows = scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0) + scan.get("Rows Removed by Index Recheck", 0)
    touched: int = round(rows * scan["Actual Loops"])
    return touched


def _of_sqlite(connection: Connection, statement: str, parameters: Any) -> Work:
    lines = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    driver = connection.connection.driver_connection
    assert driver is not None
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += _STRIDE
        return 0

    driver.set_progress_handler(count, _STRIDE)
    try:
        connection.exec_driver_sql(statement, parameters).fetchall()
    finally:
        driver.set_progress_handler(None, 0)
    return Work(statement, steps, tuple(line[3] for line in lines), 0.0)

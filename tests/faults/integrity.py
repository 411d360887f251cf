"""Whether the database itself is whole: its pages, its indexes and its constraints, all looked at anew. The rule is called `database`."""

from collections.abc import Iterator

from sqlalchemy import Connection, text

from contract.store import Store
from contract.store.tables import metadata


def faults(store: Store) -> Iterator[str]:
    """What the database says of itself. Changes nothing in it."""
    with store.read() as connection:
        yield from (f"database: {fault}" for fault in (_sqlite(connection) if store.is_sqlite else _postgresql(connection)))


def _sqlite(connection: Connection) -> Iterator[str]:
    yield from (line for (line,) in connection.execute(text("PRAGMA integrity_check")) if line != "ok")
    for table, row_id, parent, _ in connection.execute(text("PRAGMA foreign_key_check")):
        yield f"row {row_id} of {table} names a row of {parent} that is not there"


def _postgresql(connection: Connection) -> Iterator[str]:
    # amcheck is not in every build. Reading each row whole verifies the checksum of its page and what it holds out of line;
    # reading by index as well tells whether both find the same rows.
    for table in metadata.sorted_tables:
        by_pages = _rows(connection, table.name, by_index=False)
        by_index = _rows(connection, table.name, by_index=True)
        if by_pages != by_index:
            yield f"{table.name} has {by_pages} rows by its pages and {by_index} by its index"
    yield from _broken_constraints(connection)


def _rows(connection: Connection, table: str, *, by_index: bool) -> tuple[int, str]:
    """How many rows there are, and a digest of all of them, whole, in the order of the primary key."""
    for name in ("enable_indexscan", "enable_bitmapscan", "enable_indexonlyscan"):
        connection.execute(text(f"SET LOCAL {name} = {'on' if by_index else 'off'}"))
    connection.execute(text(f"SET LOCAL enable_seqscan = {'off' if by_index else 'on'}"))
    key = ", ".join(column.name for column in metadata.tables[table].primary_key)
    whole = f"SELECT count(*), coalesce(md5(string_agg(md5(t::text), '' ORDER BY {key})), '') FROM {table} t"
    count, digest = connection.execute(text(whole)).one()
    return count, digest


def _broken_constraints(connection: Connection) -> Iterator[str]:
    found = text(
        "SELECT c.conname, t.relname, c.contype::text, f.relname, pg_get_expr(c.conbin, c.conrelid),"
        " (SELECT array_agg(a.attname::text ORDER BY k.place) FROM unnest(c.conkey) WITH ORDINALITY k(number, place)"
        "  JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number)"
        " FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid LEFT JOIN pg_class f ON f.oid = c.confrelid"
        " WHERE t.relnamespace = 'public'::regnamespace AND c.contype IN ('c', 'f', 'p', 'u')"
    )
    for name, table, kind, parent, check, columns in connection.execute(found).all():
        where = _where(kind, table, parent, check, columns)
        broken = connection.execute(text(f"SELECT count(*) FROM {table} t WHERE {where}")).scalar_one()
        if broken:
            yield f"{broken} rows of {table} break the constraint {name}"


def _where(kind: str, table: str, parent: str | None, check: str | None, columns: list[str]) -> str:
    """Which rows break a constraint."""
    if kind == "c":
        return f"NOT ({check})"
    if kind == "f":
        return f"t.{columns[0]} IS NOT NULL AND NOT EXISTS (SELECT 1 FROM {parent} p WHERE p.id = t.{columns[0]})"
    same = " AND ".join(f"o.{column} = t.{column}" for column in columns)
    return f"EXISTS (SELECT 1 FROM {table} o WHERE {same} AND o.ctid <> t.ctid)"

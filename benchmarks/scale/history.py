"""How a database comes to look as after a year: jobs that have ended, jobs that wait, jobs in hand, and what hangs on them.

Written by the database itself from one real job, since a million submissions would take an hour. The guards, which let no job be born
ended, are put aside meanwhile.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, delete, func, select, text

from contract.spec import JobSpec
from contract.store import Store, jobs, tables

TENANT: Final = "default"
OWNER: Final = "worker_"
"""Held jobs belong to workers of this name and a number from 0."""
WEBHOOKS: Final = 5
_NOW: Final = {True: "(julianday('now') - 2440587.5) * 86400.0", False: "extract(epoch FROM clock_timestamp())::double precision"}
_LABELS: Final = {
    True: "json_object('team', 'team-' || (i % 20), 'run', 'run-' || i)",
    False: "jsonb_build_object('team', 'team-' || (i % 20), 'run', 'run-' || i)",
}


@dataclass(frozen=True, slots=True)
class Size:
    """How many jobs of one tenant there are; each that is held has a worker."""

    ended: int = 1_000_000
    queued: int = 10_000
    held: int = 1_000


def fill(store: Store, size: Size, spec: JobSpec) -> None:
    """Fill an empty, migrated store; on PostgreSQL its planner then knows what is there. SQLite's never does in operation."""
    template = jobs.submit(store, TENANT, spec).job.id
    with store.write() as connection, _unguarded(connection, is_sqlite=store.is_sqlite):
        filler = _Filler(connection, template, is_sqlite=store.is_sqlite)
        filler.ended(size.ended)
        filler.open(size.queued, size.held)
        filler.webhooks(size.ended)
        connection.execute(delete(tables.jobs).where(tables.jobs.c.id == template))
    if not store.is_sqlite:
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("SET statement_timeout = 0")
            connection.exec_driver_sql("VACUUM ANALYZE")
            connection.exec_driver_sql("RESET statement_timeout")


@contextmanager
def _unguarded(connection: Connection, *, is_sqlite: bool) -> Iterator[None]:
    if not is_sqlite:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        yield
        return
    triggers = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").all()
    for name, _ in triggers:
        connection.exec_driver_sql(f"DROP TRIGGER {name}")
    yield
    for _, made_by in triggers:
        connection.exec_driver_sql(made_by)


class _Filler:
    """Rows by the thousand; `i` in an expression counts them from 0."""

    def __init__(self, connection: Connection, template: str, *, is_sqlite: bool) -> None:
        self._connection, self._template, self._is_sqlite = connection, template, is_sqlite
        self._now = _NOW[is_sqlite]

    def ended(self, many: int) -> None:
        """97 of 100 have succeeded, a minute apart, the last one now; each wrote two checkpoints, one of which is long gone."""
        at = f"{self._now} - ({many} - i) * 60.0"
        state = "CASE WHEN i % 100 < 97 THEN 'succeeded' WHEN i % 100 < 99 THEN 'failed' ELSE 'cancelled' END"
        self._jobs(
            many,
            "job_00",
            state=state,
            error=f"CASE WHEN i % 100 IN (97, 98) THEN {self._document('{}')} END",
            created_at=at,
            started_at=at,
            finished_at=at,
            fence="1",
            checkpoint_id=f"'ckpt_kept_' || {_padded('i')}",
            deleted_at=f"CASE WHEN i < 10 THEN {at} END",
        )
        body = '{"epochs": 10, "timings": {"train": 5.0}}'
        ids = f"'job_00' || {_padded('i')}"
        self._rows("results", many, job_id=ids, fence="1", created_at=at, body=self._document(body))
        common = {"job_id": ids, "fence": "1", "epoch": "1", "step": "1", "metrics": self._document("{}"), "files": self._document("[]")}
        common |= {"size_bytes": "5000000", "created_at": at, "score": "1.0"}
        for seq, name in enumerate(("gone", "kept"), start=1):
            gone = {"deleted_at": at, "purged_at": at} if name == "gone" else {}
            made = {"id": f"'ckpt_{name}_' || {_padded('i')}", "seq": str(seq), "prefix": f"{ids} || '/1/{seq}'"}
            self._rows("checkpoints", many, **common, **made, **gone)
        self._rows("device_use", many, job_id=ids, tenant=f"'{TENANT}'", seconds="5.0")

    def open(self, queued: int, held: int) -> None:
        """The newest jobs: those that wait, a few of them more urgent, and those in hand, each with its worker."""
        self._jobs(queued, "job_01", priority="CASE WHEN i % 100 = 0 THEN 1 ELSE 0 END", next_ring_at=f"{self._now} + 3600 + i")
        owner = f"'{OWNER}' || i"
        self._jobs(
            held, "job_02", state="'running'", owner=owner, lease_until=f"{self._now} + 3600", fence="1", attempt="1", started_at=self._now
        )
        seen = {"started_at": self._now, "last_seen": self._now, "versions": self._document("{}")}
        self._rows("workers", held, id=owner, host="'host'", pid="i", state="'busy'", device="'cpu'", **seen)

    def webhooks(self, many: int) -> None:
        """Of the deliveries all but a few were made; two webhooks have something to send."""
        hook = f"'wh_' || (i % {WEBHOOKS})"
        long_ago = dict.fromkeys(("created_at", "updated_at", "lease_until"), "0")
        named = {"id": "'wh_' || i", "tenant": f"'{TENANT}'", "url": "'https://example.com'", "secret": "''"}
        self._rows("webhooks", WEBHOOKS, **named, events=self._document("[]"), enabled="1", **long_ago)
        state = f"CASE WHEN i >= {many} - 2 THEN 'pending' ELSE 'delivered' END"
        sent = {"attempts": "1", "attempts_before": "0", "next_attempt_at": "0", "created_at": self._now, "body": "'{}'", "seq": "1"}
        told = {"webhook_id": hook, "id": f"'evt_' || {_padded('i')}", "job_id": f"'job_00' || {_padded('i')}", "type": "'job.succeeded'"}
        self._rows("webhook_deliveries", many, **told, **sent, state=state)

    def _jobs(self, many: int, prefix: str, **changes: str) -> None:
        changes = {"id": f"'{prefix}' || {_padded('i')}", "metadata": _LABELS[self._is_sqlite], **changes}
        names = [column.name for column in tables.jobs.columns]
        values = [changes.get(name, f"j.{name}") for name in names]
        self._insert("jobs", names, values, many, f", jobs AS j WHERE j.id = '{self._template}'")

    def _rows(self, table: str, many: int, **values: str) -> None:
        self._insert(table, list(values), list(values.values()), many, "")

    def _insert(self, table: str, names: list[str], values: list[str], many: int, beside: str) -> None:
        if many == 0:
            return
        counted = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :many) "
        source = "n" if self._is_sqlite else "generate_series(0, :many - 1) AS n(i)"
        listed = ", ".join(names)
        statement = f"INSERT INTO {table} ({listed}) {counted if self._is_sqlite else ''}SELECT {', '.join(values)} FROM {source}{beside}"
        self._connection.execute(text(statement), {"many": many})

    def _document(self, body: str) -> str:
        return f"'{body}'" if self._is_sqlite else f"CAST('{body}' AS jsonb)"


def _padded(number: str) -> str:
    """In one width, so that ids sort by number; with what stands before it they sort before those of real jobs."""
    return f"substr(CAST(1000000000000000 + {number} AS text), 2)"


def count(store: Store) -> int:
    """How many jobs there are."""
    with store.read() as connection:
        return int(connection.execute(select(func.count()).select_from(tables.jobs)).scalar_one())

"""Which workers there are, what they do, and when they were last heard of."""

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from contract.job import HELD, Json
from contract.store.engine import Store
from contract.store.tables import jobs, workers

FRESH_SECONDS = 15.0
"""A worker not heard of for so long does not count as there."""

State = Literal["starting", "idle", "busy", "draining"]


@dataclass(frozen=True, slots=True)
class Worker:
    """One supervisor and its trainer."""

    id: str
    host: str
    pid: int
    state: str
    device: str
    versions: Json
    started_at: float
    last_seen: float
    is_fresh: bool
    job_id: str | None
    """The job whose lease it holds, as the job's own row says: what it last told of itself may be seconds old."""


def seen(store: Store, *, worker_id: str, host: str, pid: int, state: State, device: str, versions: Json) -> None:
    """Note that a worker is there and what it does."""
    with store.write() as connection:
        now = store.now(connection)
        dialect = sqlite if store.is_sqlite else postgresql
        row = {"id": worker_id, "host": host, "pid": pid, "state": state, "device": device, "versions": versions}
        statement = dialect.insert(workers).values(**row, started_at=now, last_seen=now)
        connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_={**row, "last_seen": now}))


def left(store: Store, worker_id: str) -> None:
    """Note that a worker went away in good order."""
    with store.write() as connection:
        connection.execute(delete(workers).where(workers.c.id == worker_id))


def listed(store: Store) -> list[Worker]:
    """Every worker that did not leave in good order, the longest-serving first."""
    with store.read() as connection:
        now = store.now(connection)
        held = select(func.min(jobs.c.id)).where(jobs.c.owner == workers.c.id, jobs.c.state.in_([state.value for state in HELD]))
        query = select(workers, held.scalar_subquery().label("job_id")).order_by(workers.c.started_at)
        found = connection.execute(query).mappings().all()
    return [Worker(**row, is_fresh=now - row["last_seen"] < FRESH_SECONDS) for row in found]


def forget(store: Store, older_than_seconds: float = 3600.0) -> None:
    """Drop workers that were not heard of for long."""
    with store.write() as connection:
        connection.execute(delete(workers).where(workers.c.last_seen < store.now(connection) - older_than_seconds))

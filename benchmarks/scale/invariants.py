"""What must be true of a database after a run, however late everybody was: counted there, and 0 each."""

from typing import Final

from sqlalchemy import text

from contract.store import Store

_WRONG: Final = {
    "succeeded without one result": "SELECT count(*) FROM jobs WHERE state = 'succeeded' AND (SELECT count(*) FROM results WHERE job_id = jobs.id) <> 1",
    "a result of what has not succeeded": "SELECT count(*) FROM results JOIN jobs ON jobs.id = job_id WHERE state <> 'succeeded'",
    "a worker with two jobs": "SELECT count(*) FROM (SELECT owner FROM jobs WHERE owner IS NOT NULL GROUP BY owner HAVING count(*) > 1) AS o",
    "gaps in a job's events": "SELECT count(*) FROM jobs WHERE event_seq <> (SELECT count(*) FROM job_events WHERE job_id = jobs.id)",
    "an epoch without its metrics": "SELECT count(*) FROM jobs WHERE state = 'succeeded' AND epochs <> "
    "(SELECT count(*) FROM metrics WHERE job_id = jobs.id AND scope = 'epoch')",
    "a checkpoint that is not there": "SELECT count(*) FROM jobs WHERE checkpoint_id IS NOT NULL AND checkpoint_id NOT IN (SELECT id FROM checkpoints)",
}


def broken(store: Store) -> dict[str, int]:
    """Those that do not hold, with how many jobs; empty as it should be."""
    with store.read() as connection:
        found = {name: int(connection.execute(text(query)).scalar_one()) for name, query in _WRONG.items()}
    return {name: many for name, many in found.items() if many}


def by_state(store: Store) -> dict[str, int]:
    """How many jobs stand where."""
    with store.read() as connection:
        return {row[0]: int(row[1]) for row in connection.execute(text("SELECT state, count(*) FROM jobs GROUP BY state"))}

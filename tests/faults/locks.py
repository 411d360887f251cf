"""Many processes that write to one SQLite file at once: whether each gets its turn, and everything that was done is there."""

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from sqlalchemy import Table, func, select, text

from contract.store import Store, tables
from tests.faults import ledger
from tests.faults.report import Report

ROOT = Path(__file__).parents[2]
_SECONDS = 3600.0


def storm(url: str, transactions: int, seed: int, processes: int = 6) -> Report:
    """Share `transactions` among processes that fight over the migrated SQLite file at `url`; one of them is killed in mid-transaction."""
    report, chance = Report("locks", seed=seed), random.Random(seed)
    # The killed one has less to do, so that the others go on beside what it left behind.
    share = -(-transactions * 4 // (4 * processes - 3))
    shares = [max(1, share // 4), *[share] * (processes - 1)]
    fighters = [_started(url, share, chance.randrange(1 << 30), dies=index == 0) for index, share in enumerate(shares)]
    done: Counter[str] = Counter()
    for index, fighter in enumerate(fighters):
        out, err = fighter.communicate(timeout=_SECONDS)
        done.update(json.loads(out))
        if fighter.returncode != (-signal.SIGKILL if index == 0 else 0):
            report.violations.append(f"contender {index} ended with {fighter.returncode}: {err[-2000:]}")
    report.add("transactions", done["transactions"])
    report.notes = dict(done)
    report.jobs = done["submitted"]
    report.violations += _checked(url, done)
    return report


def _started(url: str, transactions: int, seed: int, *, dies: bool) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.faults.contend", url, str(transactions), str(seed), *(["--die"] if dies else [])]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RIDGELINE_PARENT_PID": str(os.getpid())}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT)


def _checked(url: str, done: Counter[str]) -> list[str]:
    """Whether the file is whole and holds what its writers say they wrote."""
    store = Store(url)
    events, jobs = tables.job_events, tables.jobs
    with store.read() as connection:
        integrity = list(connection.execute(text("PRAGMA integrity_check")).scalars())
        dangling = connection.execute(text("PRAGMA foreign_key_check")).all()

        def count(table: Table, *conditions: object) -> int:
            return int(connection.execute(select(func.count()).select_from(table).where(*conditions)).scalar_one())  # type: ignore[arg-type]

        asked = select(func.count()).where(jobs.c.cancel_requested_at.is_not(None))
        stored = {
            "submitted": count(jobs),
            "claimed": int(connection.execute(select(func.coalesce(func.sum(jobs.c.attempt), 0))).scalar_one()),
            "renewals": count(events, events.c.type == "epoch"),
            "succeeded": count(tables.results),
            "cancels": int(connection.execute(asked).scalar_one()),
        }
    found = [f"{done[name]} {name} were done and {number} are stored" for name, number in stored.items() if done[name] != number]
    found += [f"{done['locked']} transactions did not get their turn"] if done["locked"] else []
    found += [f"the file is broken: {integrity}, {dangling}"] if integrity != ["ok"] or dangling else []
    found += ledger.violations(store)
    store.close()
    return found

"""The storms that need no stack: each is given a new database, or none."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contract.store import Store, schema
from tests.faults import commits as commits_cut
from tests.faults import databases, exhaustive, locks, obedience, races, simulation
from tests.faults import outages as outages_seen
from tests.faults import zombies as zombies_woken
from tests.faults.databases import Kind
from tests.faults.invariants import Violation
from tests.faults.report import Report


def zombies(scale: int, seed: int, database: Kind) -> Report:
    with _migrated(database) as (url, folder):
        return zombies_woken.storm(url, folder, scale, seed)


def cancels(scale: int, seed: int, database: Kind) -> Report:
    with _migrated(database) as (url, _):
        return races.storm(url, scale, seed)


def obeyed(scale: int, seed: int, database: Kind) -> Report:
    with _migrated(database) as (url, folder):
        return obedience.storm(url, folder, scale, seed)


def commits(scale: int, seed: int, database: Kind) -> Report:
    with _migrated(database) as (url, _):
        return commits_cut.storm(url, scale, seed)


def commits_at_work(scale: int, seed: int, database: Kind) -> Report:
    with _migrated(database) as (url, folder):
        return outages_seen.cut_off(url, folder, scale, seed)


def outages(scale: int, seed: int, _: Kind) -> Report:
    """On a server of its own, which it kills."""
    return outages_seen.storm(scale, seed, lease_seconds=20, away_seconds=0)


def transactions(scale: int, seed: int, database: Kind) -> Report:
    with _migrated(database) as (url, _):
        return locks.storm(url, scale, seed)


def simulated(scale: int, seed: int, _: Kind) -> Report:
    """Needs no database: the pure core's rows are in memory."""
    report = Report("simulation", seed=seed)
    try:
        counts = simulation.release(scale, os.cpu_count() or 1, seed)
    except Violation as violation:
        report.violations.append(str(violation))
    else:
        report.counts, report.trials = dict(counts.faults), counts.schedules
        report.jobs = sum(counts.ends.values())
        report.notes["schedules"] = counts.schedules
    return report


def searched(scale: int, seed: int, _: Kind) -> Report:
    """Every state of two workers and one job: of one that always dies, and from scale 2 on of a healthy one with its clients too."""
    report = Report("search", seed=seed)
    try:
        spaces = [exhaustive.search(exhaustive.POISON, clients=False, late=1), *([exhaustive.search(late=0)] if scale > 1 else [])]
    except Violation as violation:
        report.violations.append(str(violation))
    else:
        report.counts["transitions"] = sum(space.transitions for space in spaces)
        report.notes["states"] = sum(space.states for space in spaces)
    return report


@contextmanager
def _migrated(database: Kind) -> Iterator[tuple[str, Path]]:
    with tempfile.TemporaryDirectory(prefix="rl-") as name, databases.opened(database, Path(name)) as made:
        store = Store(made.url)
        schema.migrate(store)
        store.close()
        yield made.url, Path(name)

"""`python -m tests.faults` runs storms one after another and prints what they found; `scripts/storm` is its short name."""

import argparse
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from random import SystemRandom
from typing import Final

from tests.faults.report import Report, table


@dataclass(frozen=True)
class Storm:
    """A storm by name: the function that runs it, and how large it is in each form, by database."""

    name: str
    goal: str
    where: str
    """`module:function`, the function being a `report.Run`. Loaded when it is run: some of them load torch."""
    short: Mapping[str, int]
    release: Mapping[str, int]

    def run(self, database: str, seed: int, *, release: bool) -> Report:
        """What it found. A storm that breaks off has found a violation, whose trace is on stderr."""
        module, _, function = self.where.partition(":")
        scale = (self.release if release else self.short)[database]
        began = time.monotonic()
        try:
            report: Report = getattr(import_module(module), function)(scale, seed, database)
            report.name = _shown(self.name, database)
        except Exception as error:
            traceback.print_exc()
            report = Report(_shown(self.name, database), violations=[f"broken off: {type(error).__name__}: {error}"], seed=seed)
        report.seconds = report.seconds or time.monotonic() - began
        return report


STORMS: Final = (
    Storm(
        "kills",
        "1,000 kills, 500 jobs: 0 lost, 0 double, 0 other weights",
        "tests.faults.storms:kills",
        short={"sqlite": 40, "postgresql": 20},
        release={"sqlite": 700, "postgresql": 300},
    ),
    Storm(
        "at-once",
        "kill -9 of everything, then `up`: every job ends",
        "tests.faults.at_once:at_once",
        short={"sqlite": 2},
        release={"sqlite": 20, "postgresql": 10},
    ),
    Storm(
        "zombies",
        "300 sleeps longer than the lease: 0 stale writes accepted",
        "tests.faults.on_fresh:zombies",
        short={"sqlite": 15, "postgresql": 15},
        release={"sqlite": 150, "postgresql": 150},
    ),
    Storm(
        "broker",
        "300 events: 0 lost, a job starts within 20 s",
        "tests.faults.broker:broker",
        short={"sqlite": 20},
        release={"sqlite": 300},
    ),
    Storm(
        "cancels",
        "2,000 races with a cancel: exactly one winner",
        "tests.faults.on_fresh:cancels",
        short={"sqlite": 50, "postgresql": 50},
        release={"sqlite": 1000, "postgresql": 1000},
    ),
    Storm(
        "obeyed",
        "no trainer at work on a job that is cancelled",
        "tests.faults.on_fresh:obeyed",
        short={"sqlite": 10, "postgresql": 10},
        release={"sqlite": 100, "postgresql": 100},
    ),
    Storm(
        "bits",
        "1,000 jobs of 1,000 with the bits of an undisturbed run, whatever they train with, after 1 to 5 interruptions at a random step",
        "tests.faults.bits:interruptions",
        short={"none": 24},
        release={"none": 1000},
    ),
    Storm(
        "bits-served",
        "the same through the service, by kills of trainer and supervisor, drains and pauses",
        "tests.faults.bits_served:bits_served",
        short={"sqlite": 5},
        release={"sqlite": 20, "postgresql": 10},
    ),
    Storm(
        "torture",
        "checkpoints killed at every call, torn, rotten, on a full disk: 100 % to the bit or falling back, bad bytes never loaded",
        "tests.faults.torture:torture",
        short={"none": 300},
        release={"none": 3000},
    ),
    Storm(
        "commits",
        "COMMITs cut on the wire: 0 mistaken outcomes",
        "tests.faults.on_fresh:commits",
        short={"postgresql": 30},
        release={"postgresql": 600},
    ),
    Storm(
        "commits-at-work",
        "COMMITs cut under workers at work: 0 mistaken outcomes",
        "tests.faults.on_fresh:commits_at_work",
        short={"postgresql": 12},
        release={"postgresql": 300},
    ),
    Storm(
        "outages",
        "PostgreSQL killed under workers at work: 0 lost, 0 taken for deserted",
        "tests.faults.on_fresh:outages",
        short={"postgresql": 2},
        release={"postgresql": 30},
    ),
    Storm(
        "transactions",
        "80,000 transactions by many processes: 0 `database is locked`",
        "tests.faults.on_fresh:transactions",
        short={"sqlite": 900},
        release={"sqlite": 80_000},
    ),
    Storm(
        "poison",
        "each poison with its own code, its neighbour unharmed",
        "tests.faults.poison:poisons",
        short={"sqlite": 1},
        release={"sqlite": 3, "postgresql": 3},
    ),
    Storm(
        "search",
        "every state of 2 workers x 1 job: 0 violations, an end in reach of each",
        "tests.faults.on_fresh:searched",
        short={"none": 1},
        release={"none": 2},
    ),
    Storm(
        "simulation",
        "1,000,000 schedules of the pure core: 0 violations",
        "tests.faults.on_fresh:simulated",
        short={"none": 20_000},
        release={"none": 1_000_000},
    ),
)
"""In the order in which they run. A storm is added by a function in a file beside this one and a line here."""


def main(arguments: list[str]) -> int:
    """Run the storms that were asked for. 1 if any of them found a violation."""
    parser = argparse.ArgumentParser(prog="scripts/storm", description=__doc__)
    parser.add_argument("--release", action="store_true", help="as large as for a release: hours rather than minutes")
    parser.add_argument("--seed", type=int, default=None, help="decides what is harmed and when; drawn, and printed, if not given")
    parser.add_argument("--only", action="append", choices=[storm.name for storm in STORMS], help="this storm; may be repeated")
    parser.add_argument("--database", choices=("sqlite", "postgresql", "none"), help="on this database alone")
    parser.add_argument("--table", type=Path, help="a file to write the table to, as markdown")
    given = parser.parse_args(arguments)
    seed = SystemRandom().randrange(2**32) if given.seed is None else given.seed
    rows: list[tuple[str, Report]] = []
    for storm, database in _chosen(given):
        print(f"{storm.name} on {database}, seed {seed} …", file=sys.stderr, flush=True)
        rows.append((storm.goal, storm.run(database, seed, release=given.release)))
        _write(given.table, table(rows))  # after each: an evening's storms are not lost with the last one
    print(table(rows), end="")
    for _, report in rows:
        for violation in report.violations:
            print(f"{report.name}: {violation}", file=sys.stderr)
    return int(any(report.violations for _, report in rows))


def _shown(name: str, database: str) -> str:
    return name if database == "none" else f"{name}, {database}"


def _chosen(given: argparse.Namespace) -> Iterator[tuple[Storm, str]]:
    for storm in STORMS:
        if not given.only or storm.name in given.only:
            for database in storm.release if given.release else storm.short:
                if given.database in {None, database}:
                    yield storm, database


def _write(file: Path | None, content: str) -> None:
    if file:
        file.write_text(content)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What a storm says when it is over, and how little its silence proves."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp, fsum, lgamma, log
from typing import Final, Protocol

CONFIDENCE: Final = 0.95


@dataclass
class Report:
    """What a storm did and what it found."""

    name: str
    counts: dict[str, int] = field(default_factory=dict)
    """Faults that were injected, by kind."""
    violations: list[str] = field(default_factory=list)
    """One sentence for each breach of the promise."""
    jobs: int = 0
    seed: int = 0
    trials: int | None = None
    """What the bound is on; the faults in all if not given."""
    seconds: float = 0.0
    notes: dict[str, int] = field(default_factory=dict)
    """Other counts worth seeing, which are no faults: jobs that failed as promised, say."""

    @property
    def faults(self) -> int:
        return sum(self.counts.values())

    def add(self, kind: str, number: int = 1) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + number

    def bound(self) -> float:
        """The rate of violations that is not exceeded, with 95 % confidence."""
        return bound(len(self.violations), self.faults if self.trials is None else self.trials)

    def assert_kept(self) -> None:
        """Raises AssertionError with the seed and every violation."""
        assert not self.violations, f"{self.name}, seed {self.seed}, {self.counts}:\n" + "\n".join(self.violations)


class Run(Protocol):
    """A storm: `scale` faults (or what it counts by), all of them drawn from `seed`, on one kind of database."""

    def __call__(self, scale: int, seed: int, database: str) -> Report: ...


def bound(failures: int, trials: int) -> float:
    """The upper end of the one-sided 95 % interval of a rate: Clopper and Pearson's, which for no failure in n trials is close to 3/n."""
    if failures >= trials:
        return 1.0
    if failures == 0:
        return min(1.0, 3 / trials)
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(failures, trials, middle) > 1 - CONFIDENCE else (low, middle)
    return high


def table(rows: Sequence[tuple[str, Report]]) -> str:
    """As markdown: one row a storm, with its goal."""
    head = ("storm", "goal", "faults", "jobs", "violations", "95 % bound", "seed", "seconds")
    lines = [head, ("---",) * len(head), *(_row(goal, report) for goal, report in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _row(goal: str, report: Report) -> tuple[str, ...]:
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(report.counts.items()))
    notes = "".join(f"; {count:,} {note}" for note, count in report.notes.items())
    jobs, violations, seconds = f"{report.jobs:,}{notes}", str(len(report.violations)), f"{report.seconds:,.0f}"
    return report.name, goal, f"{report.faults:,}: {kinds}", jobs, violations, f"< {report.bound():.2g}", str(report.seed), seconds


def _at_most(failures: int, trials: int, rate: float) -> float:
    """The probability of so many failures or fewer. In logarithms: the terms of many trials are too large for a float."""
    if not 0 < rate < 1:
        return float(rate == 0)
    return fsum(
        exp(lgamma(trials + 1) - lgamma(k + 1) - lgamma(trials - k + 1) + k * log(rate) + (trials - k) * log(1 - rate))
        for k in range(failures + 1)
    )

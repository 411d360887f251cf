"""What a measured figure is: a median with its middle half, and whether that reaches its goal."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of repeated measurements, and between which values the middle half of them lay."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Goal:
    """What a row's median should be."""

    bound: Literal["at least", "at most"]
    value: float

    def is_met(self, figure: Spread) -> bool:
        return figure.median >= self.value if self.bound == "at least" else figure.median <= self.value


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of a scenario."""

    what: str
    figure: Spread
    unit: str
    goal: Goal | None = None
    beside: dict[str, float] = field(default_factory=dict)
    """What belongs beside the figure, by name: the accuracy of a training, the memory of a server."""


@dataclass(frozen=True, slots=True)
class Absent:
    """A row that could not be measured here, and why."""

    what: str
    why: str


def spread(values: Sequence[float]) -> Spread:
    """Of one value or more. The quartiles are those between the values, so that those of two are inside of both."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(middle, low, high)


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Of ours over theirs, round by round: what the machine did to both in a round falls out of its ratio."""
    return spread([mine / other for mine, other in zip(ours, theirs, strict=True)])


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that at least `share` of them (0 to 1) do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]

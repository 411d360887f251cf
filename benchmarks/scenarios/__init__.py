"""Which scenarios there are, in the order in which they are run, and how large."""

from collections.abc import Iterator
from enum import StrEnum
from importlib import import_module
from typing import Protocol, cast

from benchmarks.figures import Absent, Row

NAMES = (
    "training",
    "engine",
    "submit",
    "start",
    "reads",
    "through_service",
    "api",
    "penalties",
    "metrics",
    "checkpoints",
    "streams",
    "slots",
    "hostile",
    "gpu",
)
"""The telling ones first: where time runs out, those at the end are left out."""


class Size(StrEnum):
    """How much is measured."""

    SMOKE = "smoke"
    """Seconds: shows that everything runs, and no figure of it means anything."""
    QUICK = "quick"
    """All of it in less than five minutes on two quiet cores: fewer rounds, and drawn images where the kind of image makes no step slower."""
    FULL = "full"
    """What a figure that is published comes from: half an hour or so."""


class Scenario(Protocol):
    """What a module of this package has."""

    TITLE: str
    """One sentence: what is compared with what."""
    NEEDS_STACK: bool
    """Whether it starts servers, or happens in this process alone."""

    def run(self, size: Size) -> Iterator[Row | Absent]:
        """Measure, and yield each row once it is known."""


def load(name: str) -> Scenario:
    """The scenario; only now is what it needs imported, which is torch for some and FastAPI for others."""
    return cast("Scenario", import_module(f"benchmarks.scenarios.{name}"))

"""The programs that Ridgeline is compared with, one in each file; those that train have the shape below."""

from importlib import import_module
from importlib.util import find_spec
from typing import Protocol, cast

from benchmarks.lessons import Lesson, Outcome


class Peer(Protocol):
    """What a program that trains has."""

    NAME: str

    def absent(self) -> str | None:
        """Why it cannot be run here; None where it can."""

    def train(self, lesson: Lesson) -> Outcome:
        """The lesson from the first step to the end of the last epoch, and how well it was learnt."""


def load(name: str) -> Peer:
    """The peer in the file of this name."""
    return cast("Peer", import_module(f"benchmarks.peers.{name}"))


def missing(*packages: str) -> str | None:
    """Which of the packages is not installed, and how to have it."""
    lacking = [package for package in packages if find_spec(package) is None]
    return f"{', '.join(lacking)} is not installed; pip install -e '.[bench]'" if lacking else None

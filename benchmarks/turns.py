"""In which order programs take their turns, so that what the machine does meanwhile falls on all of them."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def turns(programs: Sequence[T], rounds: int) -> Iterator[Sequence[T]]:
    """All of them once a round, in an order that turns, so that none is always first."""
    for number in range(rounds):
        start = number % len(programs)
        yield [*programs[start:], *programs[:start]]

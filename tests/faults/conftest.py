"""In which order the files of fault tests begin: those that last longest first, so that none of them is left to one process at the end."""

from typing import Final

import pytest

_LONGEST_FIRST: Final = (
    "test_broker",
    "test_database",
    "test_kills",
    "test_poison",
    "test_bits_served",
    "test_simulation",
    "test_everything_at_once",
    "test_checkpoints",
    "test_zombies",
    "test_kills_postgresql",
)
"""Two minutes to one, on two cores; the others take less."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests of this folder in their own places; the hook is asked for those of all folders."""
    places = [index for index, item in enumerate(items) if item.nodeid.startswith("tests/faults/")]
    for index, item in zip(places, sorted((items[index] for index in places), key=_rank), strict=True):
        items[index] = item


def _rank(item: pytest.Item) -> int:
    name = item.path.stem
    return _LONGEST_FIRST.index(name) if name in _LONGEST_FIRST else len(_LONGEST_FIRST)

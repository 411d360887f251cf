"""One real stack for all journeys: Valkey, API, Celery worker and trainer, started as a user starts them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.up import Up


@pytest.fixture(scope="session")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A stack that many tests share; none of them may harm it for the others."""
    made = Up(tmp_path_factory.mktemp("journey") / "data")
    yield made
    if made.process.poll() is None:
        made.stop()


@pytest.fixture
def own_up(tmp_path: Path) -> Iterator[Callable[[], Up]]:
    """Starts stacks on one data folder, for tests that stop, kill and start them again."""
    made: list[Up] = []

    def start() -> Up:
        made.append(Up(tmp_path / "data"))
        return made[-1]

    yield start
    for one in made:
        if one.process.poll() is None:
            one.stop()

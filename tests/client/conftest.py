"""The fake server, and a client of it that does not wait between its tries."""

from collections.abc import Iterator

import pytest

from client.sdk import Client
from tests.client.fake import Fake, history


@pytest.fixture
def fake() -> Iterator[Fake]:
    with Fake() as server:
        server.history = history()
        yield server


@pytest.fixture
def waits() -> list[float]:
    """The seconds that the client would have slept."""
    return []


@pytest.fixture
def client(fake: Fake, waits: list[float]) -> Iterator[Client]:
    with Client(fake.url, sleep=waits.append) as made:
        yield made

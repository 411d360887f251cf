"""Which key is sent where: the operator's goes to this machine alone."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from client import credentials, demo
from client.errors import StackError
from client.sdk import Client
from tests.client.fake import Fake, history

OWN, OPERATORS = {"RIDGELINE_API_KEY": "rk_own"}, {"RIDGELINE_ADMIN_KEY": "operator"}
HERE, ELSEWHERE = "http://127.0.0.1:8000", "https://ridgeline.example"


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OWN | OPERATORS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("url", "environment", "sent"),
    [
        (HERE, {}, None),
        (HERE, {"RIDGELINE_API_KEY": "", "RIDGELINE_ADMIN_KEY": ""}, None),
        (HERE, OWN, "Bearer rk_own"),
        (HERE, OPERATORS, "Bearer operator"),
        (HERE, OWN | OPERATORS, "Bearer rk_own"),
        ("http://localhost:1", OPERATORS, "Bearer operator"),
        (ELSEWHERE, OPERATORS, None),
        (ELSEWHERE, OWN | OPERATORS, "Bearer rk_own"),
    ],
)
def test_a_client_sends_its_own_key_or_on_this_machine_the_operators(
    monkeypatch: pytest.MonkeyPatch, url: str, environment: dict[str, str], sent: str | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with Client(url) as client:
        assert client._wire.http.headers.get("Authorization") == sent


def test_a_variable_that_is_set_to_nothing_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OWN | OPERATORS:
        monkeypatch.setenv(name, "")
    assert (credentials.of(HERE), credentials.of_own_stack()) == (None, None)
    monkeypatch.setenv("RIDGELINE_API_KEY", "rk_own")
    assert credentials.of_own_stack() == "rk_own"


@pytest.mark.parametrize(
    ("environment", "sent"), [(OPERATORS, "operator"), (OWN | OPERATORS, "operator"), (OWN, "rk_own")], ids=["operator", "both", "own"]
)
def test_the_demo_asks_its_own_stack_with_the_operators_key_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, fake: Fake, tmp_path: Path, environment: dict[str, str], sent: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    fake.history = history("failed")
    stack: Any = SimpleNamespace(url=fake.url, data_dir=tmp_path)
    with pytest.raises(StackError):  # its job is over without a checkpoint to show
        demo._show(stack, Console(quiet=True), 1)
    assert {headers.get("Authorization") for _, _, headers in fake.requests} == {f"Bearer {sent}"}

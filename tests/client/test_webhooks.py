"""The commands about webhooks, against a real server and a real receiver."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import standardwebhooks
from typer.testing import CliRunner, Result

from client.cli import app
from contract.settings import Settings
from contract.store import Store
from tests.client.served import serving
from tests.service.receiver import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


@pytest.fixture
def url(sqlite_store: Store, sqlite_url: str, tmp_path: Path) -> Iterator[str]:
    settings = Settings(
        database_url=sqlite_url, redis_url="redis://127.0.0.1:1/0", artifacts_folder=tmp_path / "artifacts", webhook_allow_private=True
    )
    with serving(settings) as url:
        yield url


def run(url: str, *words: str) -> Result:
    return CliRunner().invoke(app, ["webhooks", *words, "--url", url])


def test_a_webhook_is_made_listed_tested_and_deleted(url: str, receiver: Receiver) -> None:
    webhook_id, secret = run(url, "create", receiver.url, "--event", "job.failed").stdout.split()
    listed = json.loads(run(url, "list", "--json").stdout)["data"]
    assert [(webhook["id"], webhook["events"]) for webhook in listed] == [(webhook_id, ["job.failed"])]
    assert secret not in run(url, "list").stdout
    assert re.fullmatch(r"evt_\w{26} delivered\n", run(url, "test", webhook_id).stdout)
    standardwebhooks.Webhook(secret).verify(receiver.messages[0].body, receiver.messages[0].headers)
    receiver.answers.append((500, {}, b""))
    failed = run(url, "test", webhook_id)
    assert (failed.exit_code, "answered 500" in failed.stdout) == (1, True)
    assert run(url, "delete", webhook_id).exit_code == 0
    assert run(url, "test", webhook_id).exit_code == 2
    refused = run(url, "create", "https://10.0.0.1:22/")
    assert (refused.exit_code, refused.stdout) == (2, "")

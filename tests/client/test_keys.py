"""`ridgeline keys` on a real service that asks for keys, reached with nothing but the environment."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from client.cli import app
from contract.store import Store

OPERATOR = "operator-operator-operator-operator"


@pytest.fixture
def url(tmp_path: Path, sqlite_store: Store) -> Iterator[str]:
    environment = os.environ | {
        "RIDGELINE_DATABASE_URL": str(sqlite_store.engine.url),
        "RIDGELINE_ARTIFACTS_FOLDER": str(tmp_path / "artifacts"),
        "RIDGELINE_REDIS_URL": "redis://127.0.0.1:1/0",
        "RIDGELINE_PORT": "0",
        "RIDGELINE_ADMIN_KEY": OPERATOR,
    }
    with subprocess.Popen([sys.executable, "-m", "service"], env=environment, stdout=-1, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        yield process.stdout.readline().split()[1]
        process.terminate()


def ridgeline(url: str, *arguments: str, key: str | None = OPERATOR) -> Result:
    environment: Mapping[str, Any] = {"RIDGELINE_URL": url, "RIDGELINE_API_KEY": key}
    return CliRunner().invoke(app, [*arguments], env=environment)


def test_a_key_is_made_used_listed_and_revoked(url: str) -> None:
    made = ridgeline(url, "keys", "create", "ci", "--scope", "jobs:read", "--tenant", "vision")
    secret = made.stdout.strip()
    assert (made.exit_code, secret[:3], secret in made.stderr) == (0, "rk_", False)
    assert ridgeline(url, "jobs", key=secret).exit_code == 0
    refused = ridgeline(url, "keys", "list", key=secret)
    assert (refused.exit_code, "admin" in refused.stderr) == (2, True)
    [key] = json.loads(ridgeline(url, "keys", "list", "--json").stdout)["data"]
    assert (key["name"], key["tenant"], key["scopes"]) == ("ci", "vision", ["jobs:read"])
    table = ridgeline(url, "keys", "list").stdout
    assert key["id"] in table
    assert secret not in table
    assert ridgeline(url, "keys", "revoke", key["id"]).exit_code == 0
    assert "401 unauthenticated" in ridgeline(url, "jobs", key=secret).stderr
    assert "RIDGELINE_API_KEY" in ridgeline(url, "jobs", key=None).stderr

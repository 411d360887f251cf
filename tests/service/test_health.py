"""What the service says of itself: that it lives, and whether jobs submitted now will be trained."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from contract.settings import Settings
from contract.store import Store, tables
from service.app import create_app
from tests.service.guarded import guarded

pytestmark = pytest.mark.anyio


async def test_where_keys_are_asked_for_a_stranger_learns_what_is_down_and_not_where_it_runs(
    sqlite_store: Store, settings: Settings, serve: Any
) -> None:
    async with guarded(settings, serve) as service:
        reply = await service.http.get("/readyz")
    assert reply.status_code == 503
    assert {check["name"] for check in reply.json()["checks"] if not check["ok"]} == {"broker", "workers"}
    assert "127.0.0.1" not in reply.text
    assert "python -m worker" not in reply.text


def told(reply: httpx.Response) -> dict[str, bool]:
    return {check["name"]: check["ok"] for check in reply.json()["checks"]}


@pytest.mark.parametrize("state", ["idle", "busy"])
async def test_a_broker_that_is_down_degrades_and_no_more(client: httpx.AsyncClient, hands: Any, state: str) -> None:
    hands.appear(state)
    reply = await client.get("/readyz")
    assert (reply.status_code, reply.json()["status"]) == (200, "degraded")
    assert told(reply) == {"store": True, "broker": False, "artifacts": True, "workers": True}
    assert hands.artifacts.folder.is_dir()
    assert list(hands.artifacts.list()) == []


@pytest.mark.parametrize("state", ["starting", "draining", None])
async def test_without_a_worker_that_can_take_a_job_it_is_not_ready(client: httpx.AsyncClient, hands: Any, state: Any) -> None:
    if state:
        hands.appear(state)
    reply = await client.get("/readyz")
    assert (reply.status_code, told(reply)["workers"]) == (503, False)


async def test_a_worker_not_heard_of_lately_does_not_count(client: httpx.AsyncClient, hands: Any, sqlite_store: Store) -> None:
    hands.appear()
    with sqlite_store.write() as connection:
        connection.execute(tables.workers.update().values(last_seen=1.0))
    assert (await client.get("/readyz")).status_code == 503
    worker = (await client.get("/v1/workers")).json()["data"][0]
    assert (worker["id"], worker["is_fresh"], worker["last_seen"]) == ("worker-1", False, "1970-01-01T00:00:01.000Z")


async def test_an_artifact_folder_that_cannot_be_written_is_told(client: httpx.AsyncClient, hands: Any) -> None:
    hands.appear()
    hands.artifacts.folder.parent.joinpath("artifacts").write_text("a file where the folder should be")
    reply = await client.get("/readyz")
    assert (reply.status_code, told(reply)["artifacts"]) == (503, False)


async def test_a_database_at_another_schema_is_told_with_the_remedy(settings: Settings, serve: Any) -> None:
    async with serve(create_app(settings)) as client:
        reply = await client.get("/readyz")
        assert reply.status_code == 503
        assert "contract.store migrate" in reply.text
        assert (await client.get("/healthz")).status_code == 200


async def test_the_version_is_told(standing: httpx.AsyncClient) -> None:
    version = (await standing.get("/v1/version")).json()
    assert (version["name"], version["api"]) == ("ridgeline", "v1")
    assert version["version"]


def test_nothing_is_written_where_nothing_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    create_app().openapi()
    assert list(tmp_path.iterdir()) == []

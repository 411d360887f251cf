"""What can be changed of a job, how it is deleted, and what becomes of its bytes."""

import threading
from typing import Any

import httpx
import pytest

from service.reconciler import Reconciler
from tests.service.conftest import Hands
from tests.service.test_lifecycle_routes import made

pytestmark = pytest.mark.anyio

STATES = ["queued", "running", "pausing", "paused", "cancelling", "succeeded", "failed", "cancelled"]
ENDED = {"succeeded", "failed", "cancelled"}


async def shown(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(f"/v1/jobs/{job_id}")).json()
    return found


@pytest.mark.parametrize("state", STATES)
async def test_name_and_labels_of_any_job_can_be_changed_and_its_spec_tells_of_it(
    client: httpx.AsyncClient, hands: Hands, state: str
) -> None:
    job_id = await made(client, hands, state, metadata={"team": "vision", "stage": "1"})
    reply = await client.patch(f"/v1/jobs/{job_id}", json={"name": "new", "metadata": {"stage": None, "owner": "Ada"}})
    job = await shown(client, job_id)
    assert (reply.status_code, reply.json()) == (200, job)
    assert (job["status"], job["name"], job["metadata"]) == (state, "new", {"team": "vision", "owner": "Ada"})
    assert (job["spec"]["name"], job["spec"]["metadata"]) == (job["name"], job["metadata"])


@pytest.mark.parametrize("state", STATES)
async def test_the_priority_of_a_queued_job_alone_can_be_changed(client: httpx.AsyncClient, hands: Hands, state: str) -> None:
    job_id = await made(client, hands, state)
    reply = await client.patch(f"/v1/jobs/{job_id}", json={"priority": 7, "name": "new"})
    job = await shown(client, job_id)
    assert (reply.status_code, job["spec"]["priority"], job["name"]) == ((200, 7, "new") if state == "queued" else (409, 0, "first"))


async def test_a_raised_priority_moves_a_job_up_the_queue(client: httpx.AsyncClient, job_id: str) -> None:
    late = (await client.post("/v1/jobs", json={"dataset": {"kind": "fake"}})).json()
    assert late["queue"]["position"] == 2
    assert (await client.patch(f"/v1/jobs/{late['id']}", json={"priority": 1})).json()["queue"]["position"] == 1
    assert (await client.patch(f"/v1/jobs/{late['id']}", json={"priority": None})).json()["queue"]["position"] == 2


@pytest.mark.parametrize("body", [{}, {"name": "first"}, {"metadata": {}}, {"metadata": {"unknown": None}}], ids=str)
async def test_what_changes_nothing_leaves_the_job_as_it_was(client: httpx.AsyncClient, hands: Hands, body: dict[str, Any]) -> None:
    job_id = await made(client, hands, "queued", metadata={"team": "vision"})
    before = await shown(client, job_id)
    reply = await client.patch(f"/v1/jobs/{job_id}", json=body, headers={"Content-Type": "application/merge-patch+json"})
    assert (reply.status_code, reply.json()) == (200, before)


async def test_a_null_takes_the_name_and_all_labels_away(client: httpx.AsyncClient, hands: Hands) -> None:
    job_id = await made(client, hands, "queued", metadata={"team": "vision"})
    job = (await client.patch(f"/v1/jobs/{job_id}", json={"name": None, "metadata": None})).json()
    assert (job["name"], job["metadata"]) == (None, {})


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"epochs": 3, "nmae": "x"}, ["/epochs", "/nmae"]),
        ({"name": 3, "priority": "high"}, ["/name", "/priority"]),
        ({"priority": 101}, ["/priority"]),
        ({"name": "x" * 201}, ["/name"]),
        ({"metadata": {"": "x"}}, ["/metadata/"]),
        ({"metadata": {"k": 3}}, ["/metadata/k"]),
        ({"metadata": {f"k{i}": "" for i in range(16)}}, ["/metadata"]),
        ([], [""]),
        ("name", [""]),
    ],
    ids=str,
)
async def test_a_change_that_cannot_be_is_told_with_its_pointers(
    client: httpx.AsyncClient, hands: Hands, body: object, pointers: list[str]
) -> None:
    job_id = await made(client, hands, "queued", metadata={"team": "vision"})
    before = await shown(client, job_id)
    reply = await client.patch(f"/v1/jobs/{job_id}", json=body)
    assert (reply.status_code, reply.json()["code"]) == (422, "invalid_body")
    assert {fault["pointer"] for fault in reply.json()["errors"]} == {*pointers}
    assert await shown(client, job_id) == before


@pytest.mark.parametrize("state", STATES)
async def test_a_job_that_has_ended_can_be_deleted_and_no_other(client: httpx.AsyncClient, hands: Hands, state: str) -> None:
    job_id = await made(client, hands, state)
    replies = [await client.delete(f"/v1/jobs/{job_id}") for _ in range(2)]
    assert [reply.status_code for reply in replies] == ([204, 204] if state in ENDED else [409, 409])
    listed = [job["id"] for job in (await client.get("/v1/jobs")).json()["data"]]
    assert (job_id in listed) == (state not in ENDED)


async def test_a_deleted_job_is_not_found_on_any_route(client: httpx.AsyncClient, hands: Hands) -> None:
    job_id = await made(client, hands, "failed")
    paths = client._transport.app.openapi()["paths"]  # type: ignore[attr-defined]
    asked = [(method, path) for path, methods in paths.items() if "{job_id}" in path for method in methods]
    await client.delete(f"/v1/jobs/{job_id}")
    for method, path in asked:
        if (method, path) != ("delete", "/v1/jobs/{job_id}"):
            named = path.format(job_id=job_id, name="best", file="model.safetensors", plot="loss", format="png")
            reply = await client.request(method.upper(), named, json={})
            assert reply.status_code == 404, (method, path, reply.text)


async def test_a_deletion_can_insist_on_what_it_deletes(client: httpx.AsyncClient, hands: Hands) -> None:
    job_id = await made(client, hands, "failed")
    known = {"If-Match": (await client.get(f"/v1/jobs/{job_id}")).headers["etag"]}
    await client.patch(f"/v1/jobs/{job_id}", json={"name": "keep this"})
    assert (await client.delete(f"/v1/jobs/{job_id}", headers=known)).status_code == 412


async def test_the_bytes_of_a_deleted_job_go_with_the_next_round_after_the_grace(client: httpx.AsyncClient, hands: Hands) -> None:
    job_id, other = await made(client, hands, "failed"), await made(client, hands, "failed")
    await client.delete(f"/v1/jobs/{job_id}")

    def rounds(purge_seconds: float) -> set[str]:
        settings: dict[str, Any] = {"lease_seconds": 60, "every_seconds": 1, "stopping": threading.Event()}
        Reconciler(hands.store, hands.artifacts, lambda _: None, purge_seconds=purge_seconds, **settings).round()
        return {artifact.key.partition("/")[0] for artifact in hands.artifacts.list()}

    assert rounds(3600) == {job_id, other}
    assert rounds(0) == {other}
    assert (await client.delete(f"/v1/jobs/{job_id}")).status_code == 404


async def test_a_child_serves_the_best_checkpoint_of_its_deleted_parent(client: httpx.AsyncClient, hands: Hands) -> None:
    parent = await made(client, hands, "failed")
    child = (await client.post(f"/v1/jobs/{parent}/retry")).json()["id"]
    await client.delete(f"/v1/jobs/{parent}")
    found = (await client.get(f"/v1/jobs/{child}/checkpoints/best")).json()
    assert (await client.get(found["files"][0]["href"])).status_code == 200

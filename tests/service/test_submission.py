"""What a client may rely on when it submits a job."""

import socket

import httpx
import pytest

from contract.settings import Settings
from contract.store import Store
from service.app import create_app
from service.examples import FULL_SPEC, MINIMAL_SPEC

pytestmark = pytest.mark.anyio

FAULTY = {"epochs": 0, "penalties": [{"kind": "l2", "lamda": 1}], "optimizer": {"kind": "adamW"}, "colour": "red"}


async def test_a_submission_answers_with_the_job_and_where_it_is(client: httpx.AsyncClient) -> None:
    reply = await client.post("/v1/jobs", json=MINIMAL_SPEC)
    job = reply.json()
    assert reply.status_code == 201
    assert reply.headers["location"] == f"/v1/jobs/{job['id']}" == job["links"]["self"]
    assert (job["object"], job["status"], job["queue"]) == (
        "training.job",
        "queued",
        {"position": 1, "jobs_ahead": 0, "estimated_wait_seconds": None, "waits_for": None},
    )
    assert (await client.get(reply.headers["location"])).json() == job


@pytest.mark.parametrize("spec", [MINIMAL_SPEC, FULL_SPEC, {}], ids=["minimal", "full", "empty"])
async def test_the_spec_of_a_job_can_be_posted_back_as_it_is(client: httpx.AsyncClient, spec: dict[str, object]) -> None:
    first = (await client.post("/v1/jobs", json=spec)).json()["spec"]
    assert (await client.post("/v1/jobs", json=first)).json()["spec"] == first


async def test_every_fault_of_a_spec_is_told_at_once_with_its_pointer_and_the_near_name(client: httpx.AsyncClient) -> None:
    reply = await client.post("/v1/jobs", json=FAULTY)
    problem = reply.json()
    told = {fault["pointer"]: fault["message"] for fault in problem["errors"]}
    assert (reply.status_code, problem["code"]) == (422, "invalid_spec")
    assert set(told) == {"/epochs", "/penalties/0/lambda", "/penalties/0/lamda", "/optimizer/kind", "/colour"}
    assert "'lambda'" in told["/penalties/0/lamda"]
    assert "'adamw'" in told["/optimizer/kind"]


async def test_a_spec_that_no_network_fits_is_refused_too(client: httpx.AsyncClient) -> None:
    spec = {"dataset": {"kind": "fake", "height": 2, "width": 2}, "penalties": [{"kind": "l2", "lambda": 1.0, "on": ["conv9"]}]}
    reply = await client.post("/v1/jobs", json=spec)
    assert (reply.status_code, reply.json()["errors"][0]["code"]) == (422, "shape_misfit")


async def test_validating_finds_the_same_faults_and_submits_nothing(client: httpx.AsyncClient) -> None:
    validated, submitted = [await client.post(path, json=FAULTY) for path in ("/v1/jobs/validate", "/v1/jobs")]
    assert validated.json()["errors"] == submitted.json()["errors"]
    fine = await client.post("/v1/jobs/validate", json=MINIMAL_SPEC)
    assert (fine.status_code, fine.json()["parameters"]) == (200, 421_642)
    assert [layer["name"] for layer in fine.json()["layers"]] == ["conv1", "conv2", "fc1", "fc2"]
    assert (await client.get("/v1/jobs")).json()["data"] == []


async def test_a_key_used_again_for_the_same_spec_answers_with_the_same_job(client: httpx.AsyncClient) -> None:
    first, again = [await client.post("/v1/jobs", json=MINIMAL_SPEC, headers={"Idempotency-Key": "k 1"}) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert first.headers["location"] == again.headers["location"]
    assert ("idempotency-replayed" in first.headers, again.headers["idempotency-replayed"]) == (False, "true")


async def test_a_key_used_again_for_another_spec_is_refused(client: httpx.AsyncClient) -> None:
    await client.post("/v1/jobs", json=MINIMAL_SPEC, headers={"Idempotency-Key": "k"})
    reply = await client.post("/v1/jobs", json={"epochs": 3}, headers={"Idempotency-Key": "k"})
    assert (reply.status_code, reply.json()["code"]) == (422, "idempotency_mismatch")


async def test_a_submission_is_answered_while_its_ring_still_waits_for_the_broker(sqlite_store: Store, settings: Settings, serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(10)
        deaf = settings.model_copy(update={"redis_url": f"redis://127.0.0.1:{silent.getsockname()[1]}/0"})
        async with serve(create_app(deaf)) as client:
            assert (await client.post("/v1/jobs", json=MINIMAL_SPEC)).status_code == 201
            # The ring got through to a broker that never answers it, and the reply did not wait for that.
            connection, _ = silent.accept()
            connection.close()


async def test_a_key_of_a_job_that_was_deleted_brings_nothing_back(client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "x"}
    job_id = (await client.post("/v1/jobs", json={}, headers=headers)).json()["id"]
    await client.post(f"/v1/jobs/{job_id}/cancel")
    assert (await client.delete(f"/v1/jobs/{job_id}")).status_code == 204
    late = await client.post("/v1/jobs", json={}, headers=headers)
    assert (late.status_code, late.json()["code"]) == (410, "gone")
    assert (await client.get("/v1/jobs")).json()["data"] == []

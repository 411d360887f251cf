"""What a clone has of the job it is made from, and what otherwise."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from contract.artifacts import LocalFolder
from contract.settings import Settings
from contract.store import Store
from service import cloning
from tests.service.conftest import Hands
from tests.service.guarded import guarded
from tests.service.test_lifecycle_routes import made

pytestmark = pytest.mark.anyio


async def clone(client: httpx.AsyncClient, job_id: str, **body: Any) -> httpx.Response:
    return await client.post(f"/v1/jobs/{job_id}/clone", json=body)


async def test_a_clone_is_a_job_of_the_same_spec_that_names_its_parent(client: httpx.AsyncClient, hands: Hands) -> None:
    parent = await made(client, hands, "running", metadata={"team": "vision"})
    reply = await client.post(f"/v1/jobs/{parent}/clone")
    job = reply.json()
    assert (reply.status_code, reply.headers["location"]) == (201, f"/v1/jobs/{job['id']}")
    assert job["spec"] == (await client.get(f"/v1/jobs/{parent}")).json()["spec"]
    assert job["parent"] == {"job_id": parent, "relation": "clone", "checkpoint_id": None}
    assert job["status"] == "queued"
    assert [found["id"] for found in (await client.get("/v1/jobs", params={"parent": parent})).json()["data"]] == [job["id"]]


async def test_overrides_are_merged_into_the_spec(client: httpx.AsyncClient, hands: Hands) -> None:
    parent = await made(client, hands, "queued", metadata={"team": "vision", "stage": "1"}, optimizer={"kind": "adam", "lr": 0.5})
    overrides = {"epochs": 7, "metadata": {"stage": None}, "optimizer": {"lr": 0.25}, "name": None}
    spec = (await clone(client, parent, overrides=overrides)).json()["spec"]
    assert (spec["epochs"], spec["metadata"], spec["name"]) == (7, {"team": "vision"}, None)
    assert (spec["optimizer"]["kind"], spec["optimizer"]["lr"]) == ("adam", 0.25)


async def test_another_kind_takes_nothing_of_the_old_one_along(client: httpx.AsyncClient, hands: Hands) -> None:
    parent = await made(client, hands, "queued", optimizer={"kind": "adam", "lr": 0.5, "amsgrad": True})
    spec = (await clone(client, parent, overrides={"optimizer": {"kind": "sgd", "momentum": 0.9}})).json()["spec"]
    assert (spec["optimizer"]["kind"], spec["optimizer"]["lr"], spec["optimizer"]["momentum"]) == ("sgd", 1e-3, 0.9)


# The examples of RFC 7396, appendix A, those without a top level that no spec can have.
MERGES: list[tuple[Any, Any, Any]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("document", "patch", "merged"), MERGES, ids=range(len(MERGES)))
def test_a_patch_merges_as_the_rfc_says(document: Any, patch: Any, merged: Any) -> None:
    assert cloning.merged(document, patch) == merged


async def test_every_fault_of_the_new_spec_says_whose_it_is(client: httpx.AsyncClient, hands: Hands) -> None:
    parent = await made(client, hands, "queued", penalties=[{"kind": "l1", "lambda": 0.1, "apply": "subgradient"}])
    overrides = {"epochs": 0, "optimizer": {"kind": "adam", "lrr": 1}}
    problem = (await clone(client, parent, overrides=overrides)).json()
    told = {fault["pointer"]: fault["message"] for fault in problem["errors"]}
    assert (problem["status"], set(told)) == (422, {"/epochs", "/optimizer/lrr"})
    assert all("(given in overrides)" in message for message in told.values())
    smooth = (await clone(client, parent, overrides={"optimizer": {"kind": "lbfgs"}, "batch_size": "full"})).json()
    assert [fault["pointer"] for fault in smooth["errors"]] == ["/penalties/0"]
    assert f"(from the spec of {parent})" in smooth["errors"][0]["message"]


@pytest.mark.parametrize("name", ["best", "last", "id"])
async def test_a_clone_starts_from_the_weights_of_a_checkpoint(client: httpx.AsyncClient, hands: Hands, name: str) -> None:
    parent = await made(client, hands, "succeeded")
    last = (await client.get(f"/v1/jobs/{parent}/checkpoints/last")).json()["id"]
    job = (await clone(client, parent, init_from=last if name == "id" else name, overrides={"seed": 5})).json()
    assert (job["spec"]["init_from"], job["spec"]["seed"], job["parent"]["relation"]) == (last, 5, "clone")
    validated = await client.post("/v1/jobs/validate", json=job["spec"])
    assert validated.status_code == 200


async def test_the_best_weights_of_a_job_are_not_its_last_ones(client: httpx.AsyncClient, hands: Hands, job_id: str) -> None:
    lease = hands.claim(job_id)
    found = []
    for epoch, loss in ((1, 0.9), (2, 0.1), (3, 0.5)):
        hands.checkpoint(lease, epoch, loss)
        found.append((await client.get(f"/v1/jobs/{job_id}/checkpoints/last")).json()["id"])
    for name, expected in (("best", found[1]), ("last", found[2])):
        assert (await clone(client, job_id, init_from=name)).json()["spec"]["init_from"] == expected


async def test_before_there_is_a_best_checkpoint_the_last_one_is_it(client: httpx.AsyncClient, hands: Hands, job_id: str) -> None:
    hands.checkpoint(hands.claim(job_id), 1, float("nan"))
    last = (await client.get(f"/v1/jobs/{job_id}/checkpoints/last")).json()["id"]
    assert (await clone(client, job_id, init_from="best")).json()["spec"]["init_from"] == last


async def test_a_clone_is_checked_among_what_its_own_tenant_has(
    sqlite_store: Store, settings: Settings, serve: Any, tmp_path: Path
) -> None:
    async with guarded(settings, serve) as service:
        job_id = (await service.as_("a", "POST", "/v1/jobs", json={"dataset": {"kind": "fake"}})).json()["id"]
        hands = Hands(sqlite_store, LocalFolder(settings.artifacts_folder), tmp_path)
        hands.checkpoint(hands.claim(job_id), 1, 0.5)
        reply = await service.as_("a", "POST", f"/v1/jobs/{job_id}/clone", json={"init_from": "best"})
        assert (reply.status_code, reply.json()["parent"]["job_id"]) == (201, job_id)


async def test_weights_that_are_not_there_or_do_not_fit_are_refused_here_and_by_validate(client: httpx.AsyncClient, hands: Hands) -> None:
    queued, parent = await made(client, hands, "queued"), await made(client, hands, "succeeded")
    assert (await clone(client, queued, init_from="best")).status_code == 409
    unknown = await clone(client, parent, init_from="ckpt_" + "0" * 26)
    other = await clone(client, parent, init_from="best", overrides={"model": {"kind": "linear"}})
    faults = [reply.json()["errors"][0] for reply in (unknown, other)]
    assert [(fault["pointer"], fault["code"]) for fault in faults] == [("/init_from", "not_found"), ("/init_from", "layers_misfit")]
    spec = {"dataset": {"kind": "fake"}, "init_from": "ckpt_" + "0" * 26}
    assert (await client.post("/v1/jobs/validate", json=spec)).json()["errors"] == (await client.post("/v1/jobs", json=spec)).json()[
        "errors"
    ]


async def test_to_extend_by_a_clone_is_to_extend(client: httpx.AsyncClient, hands: Hands) -> None:
    parent = await made(client, hands, "succeeded")
    extended = (await client.post(f"/v1/jobs/{parent}/extend", json={"epochs": 3})).json()
    cloned = (await clone(client, parent, extend_epochs=3, overrides={"name": "longer", "limits": {"max_runtime_seconds": 5}})).json()
    assert cloned["parent"] == extended["parent"]
    limits = {**extended["spec"]["limits"], "max_runtime_seconds": 5}
    assert cloned["spec"] == extended["spec"] | {"name": "longer", "limits": limits}
    assert (await clone(client, await made(client, hands, "failed"), extend_epochs=3)).status_code == 409


@pytest.mark.parametrize(
    "body",
    [
        {"extend_epochs": 3, "init_from": "best"}, {"extend_epochs": 3, "overrides": {"seed": 2}}, {"extend_epochs": 0},
        {"init_from": "first"}, {"overrides": []}, {"override": {}}, {"extend_epochs": 3, "overrides": {"limits": 3}},
    ],
    ids=str,
)  # fmt: skip
async def test_a_clone_that_means_nothing_is_refused(client: httpx.AsyncClient, hands: Hands, body: dict[str, Any]) -> None:
    parent = await made(client, hands, "succeeded")
    assert (await clone(client, parent, **body)).status_code == 422
    assert len((await client.get("/v1/jobs")).json()["data"]) == 1


async def test_a_clone_repeated_under_its_key_is_one_job(client: httpx.AsyncClient, hands: Hands) -> None:
    parent = await made(client, hands, "queued")
    key = {"Idempotency-Key": "k"}
    first = await client.post(f"/v1/jobs/{parent}/clone", json={"overrides": {"seed": 2}}, headers=key)
    await client.patch(f"/v1/jobs/{parent}", json={"name": "renamed since"})
    again = await client.post(f"/v1/jobs/{parent}/clone", json={"overrides": {"seed": 2}}, headers=key)
    other = await client.post(f"/v1/jobs/{parent}/clone", json={"overrides": {"seed": 3}}, headers=key)
    assert (again.status_code, again.json()["id"], again.headers["idempotency-replayed"]) == (201, first.json()["id"], "true")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")

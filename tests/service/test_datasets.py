"""A data set comes in whole or not at all, is kept once, and is there for its tenant alone."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from contract.artifacts import LocalFolder
from contract.settings import Settings
from contract.store import Store, datasets
from service.app import create_app
from service.reconciler import Reconciler
from tests.uploading import OCTETS, npz

pytestmark = pytest.mark.anyio

Json = dict[str, Any]


async def sent(client: httpx.AsyncClient, body: bytes, **query: str) -> Json:
    reply = await client.post("/v1/datasets", content=body, headers=OCTETS, params=query)
    assert reply.status_code == 201, reply.text
    found: Json = reply.json()
    return found


async def test_an_upload_is_told_with_shape_rows_and_class_counts(client: httpx.AsyncClient) -> None:
    headers = OCTETS | {"Content-Disposition": 'attachment; filename="tables/digits.npz"'}
    reply = await client.post("/v1/datasets", content=npz(), headers=headers)
    made = reply.json()
    assert reply.status_code == 201
    assert reply.headers["Location"] == made["links"]["self"] == f"/v1/datasets/{made['id']}"
    assert (made["name"], made["format"], made["shape"], made["dtype"]) == ("digits.npz", "npz", [1, 1, 4], "float64")
    assert (made["targets"], made["outputs"], made["train_rows"], made["test_rows"], made["unlabelled_rows"]) == ("classes", 3, 30, 0, 0)
    assert [(one["index"], one["train_rows"]) for one in made["classes"]] == [(0, 10), (1, 10), (2, 10)]
    assert (await client.get(made["links"]["self"])).json() == made
    assert (await client.get("/v1/datasets")).json()["data"] == [made]


async def test_the_same_content_is_the_same_data_set_however_it_is_packed(client: httpx.AsyncClient, settings: Settings) -> None:
    x, y = np.arange(40, dtype=np.uint8).reshape(10, 4), np.arange(10) % 2
    first = await sent(client, npz(x=x, y=y))
    again = await client.post(
        "/v1/datasets", content=npz(x_train=np.asfortranarray(x)[:5], y_train=y[:5], x_test=x[5:], y_test=y[5:]), headers=OCTETS
    )
    assert again.status_code == 201
    file = io.BytesIO()
    np.savez(file, X=np.asfortranarray(x), y=y.astype(np.int8))
    same = await client.post("/v1/datasets", content=file.getvalue(), headers=OCTETS)
    assert (same.status_code, same.json()) == (200, first)
    assert {found.id for found in stored(settings)} == {first["id"], again.json()["id"]}


def stored(settings: Settings) -> list[datasets.Dataset]:
    store = Store(settings.database_url)
    found = datasets.page(store, "default", 100)
    store.close()
    return found


def keys(settings: Settings) -> list[str]:
    return [artifact.key for artifact in LocalFolder(settings.artifacts_folder).list()] if settings.artifacts_folder.exists() else []


async def test_its_bytes_have_the_digests_of_its_row(client: httpx.AsyncClient, settings: Settings) -> None:
    await sent(client, npz())
    (row,) = stored(settings)
    for file in row.files:
        assert hashlib.sha256((settings.artifacts_folder / row.prefix / file.name).read_bytes()).hexdigest() == file.sha256
    assert len(keys(settings)) == len(row.files) == 2
    assert list((settings.scratch_folder / "uploads").iterdir()) == []


async def test_a_list_comes_in_pages_the_newest_first(client: httpx.AsyncClient) -> None:
    made = [(await sent(client, npz(seed)))["id"] for seed in range(3)]
    first = (await client.get("/v1/datasets", params={"limit": 2})).json()
    last = (await client.get("/v1/datasets", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [found["id"] for found in first["data"] + last["data"]] == made[::-1]
    assert (first["has_more"], last["has_more"], last["next_cursor"]) == (True, False, None)
    refused = await client.get("/v1/datasets", params={"cursor": "zzz"})
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_cursor")


async def test_a_deleted_set_is_gone_with_its_bytes_and_nothing_else_goes_with_it(
    client: httpx.AsyncClient, settings: Settings, sqlite_store: Store
) -> None:
    gone, kept = await sent(client, npz(1)), await sent(client, npz(2))
    assert (await client.delete(gone["links"]["self"])).status_code == 204
    assert (await client.get(gone["links"]["self"])).status_code == 404
    assert (await client.delete(gone["links"]["self"])).status_code == 404
    back = await sent(client, npz(1))
    tidy(sqlite_store, settings)
    assert {key.split("/")[3] for key in keys(settings)} == {kept["id"], back["id"]}
    assert (await client.get(kept["links"]["self"])).status_code == 200


def tidy(store: Store, settings: Settings, garbage_seconds: float = 3600.0) -> None:
    import threading

    Reconciler(
        store, LocalFolder(settings.artifacts_folder), lambda _: None, lease_seconds=60, every_seconds=60,
        garbage_seconds=garbage_seconds, stopping=threading.Event(),
    ).round()  # fmt: skip


async def test_a_set_that_a_job_waits_for_cannot_be_deleted_until_the_job_has_ended(client: httpx.AsyncClient) -> None:
    made = await sent(client, npz())
    spec = {"dataset": {"kind": "uploaded", "id": made["id"]}, "model": {"kind": "linear"}, "epochs": 1}
    job = (await client.post("/v1/jobs", json=spec)).json()
    refused = await client.delete(made["links"]["self"])
    assert (refused.status_code, refused.json()["code"]) == (409, "in_use")
    assert job["id"] in refused.json()["detail"]
    await client.post(f"/v1/jobs/{job['id']}/cancel")
    assert (await client.delete(made["links"]["self"])).status_code == 204
    retried = await client.post(f"/v1/jobs/{job['id']}/retry")
    assert (retried.status_code, retried.json()["errors"][0]["pointer"]) == (422, "/dataset/id")


async def test_a_spec_on_an_uploaded_set_is_checked_against_its_shape_and_can_be_posted_back(client: httpx.AsyncClient) -> None:
    made = await sent(client, npz(), name="four")
    dataset = {"kind": "uploaded", "id": made["id"]}
    spec = {"dataset": dataset, "model": {"kind": "linear"}}
    first = (await client.post("/v1/jobs/validate", json=spec)).json()
    assert first["parameters"] == 4 * 3 + 3
    assert first["spec"]["dataset"]["resolved"] == {
        "name": "four", "sha256": made["sha256"], "channels": 1, "height": 1, "width": 4, "outputs": 3, "targets": "classes",
        "train_rows": 30, "unlabelled_rows": 0, "test_rows": 0,
    }  # fmt: skip
    lied = {**first["spec"], "dataset": {**first["spec"]["dataset"], "resolved": {"outputs": 900, "nonsense": 1}}}
    assert (await client.post("/v1/jobs/validate", json=lied)).json() == first
    refused = await client.post("/v1/jobs/validate", json={"dataset": dataset})
    assert "/model/kind" in {error["pointer"] for error in refused.json()["errors"]}


@pytest.mark.parametrize("dataset_id", [f"ds_{'0' * 26}", "ds_1", 7, None])
async def test_an_id_that_no_set_has_is_told_with_everything_else_that_is_wrong(client: httpx.AsyncClient, dataset_id: object) -> None:
    spec = {"dataset": {"kind": "uploaded", "id": dataset_id}, "epochs": 0}
    refused = await client.post("/v1/jobs", json=spec)
    assert refused.status_code == 422
    assert {error["pointer"] for error in refused.json()["errors"]} == {"/dataset/id", "/epochs"}


async def test_a_set_of_another_tenant_is_there_for_nobody_else(client: httpx.AsyncClient, sqlite_store: Store) -> None:
    made = await sent(client, npz())
    with pytest.raises(datasets.NotFoundError):
        datasets.get(sqlite_store, "another", made["id"])
    with pytest.raises(datasets.NotFoundError):
        datasets.remove(sqlite_store, "another", made["id"])
    assert datasets.page(sqlite_store, "another", 10) == []


async def test_what_exceeds_the_quota_leaves_no_row_and_no_bytes(
    settings: Settings, sqlite_store: Store, serve: Callable[..., Any]
) -> None:
    async with serve(create_app(settings.model_copy(update={"dataset_tenant_bytes": 2000}))) as client:
        await sent(client, npz(rows=20))
        refused = await client.post("/v1/datasets", content=npz(1, rows=60), headers=OCTETS)
    assert refused.json()["code"] == "quota_exceeded"
    assert refused.status_code == 403
    assert len(stored(settings)) == 1
    assert len(keys(settings)) == 2


async def test_an_upload_whose_process_was_killed_is_forgotten_and_one_that_lasts_too_long_hears_of_it(
    client: httpx.AsyncClient, settings: Settings, sqlite_store: Store, tmp_path: Path
) -> None:
    kept = await sent(client, npz())
    draft = datasets.Draft("cut", "npz", "f" * 64, {}, ())
    cut = datasets.begin(sqlite_store, "default", draft, 10**9)
    (tmp_path / "x").write_bytes(b"x")
    LocalFolder(settings.artifacts_folder).put(f"{cut.prefix}/x.npy", tmp_path / "x", hashlib.sha256(b"x").hexdigest())
    tidy(sqlite_store, settings)
    assert any(cut.id in key for key in keys(settings))
    tidy(sqlite_store, settings, garbage_seconds=-1.0)
    assert not any(cut.id in key for key in keys(settings))
    assert any(kept["id"] in key for key in keys(settings))
    with pytest.raises(datasets.StoreUnavailableError, match="again"):
        datasets.finish(sqlite_store, cut)


async def test_of_two_uploads_of_one_content_at_once_the_first_is_kept(sqlite_store: Store) -> None:
    draft = datasets.Draft("one", "npz", "f" * 64, {}, ())
    one, other = (datasets.begin(sqlite_store, "default", draft, 10**9) for _ in range(2))
    assert one.prefix != other.prefix
    assert datasets.finish(sqlite_store, one).id == one.id
    assert datasets.finish(sqlite_store, other).id == one.id
    assert datasets.to_purge(sqlite_store, 3600) == [(other.id, other.prefix)]
    assert datasets.finish(sqlite_store, datasets.begin(sqlite_store, "another", draft, 10**9)).tenant == "another"


async def test_capabilities_say_where_data_is_sent_and_how_large_it_may_be(client: httpx.AsyncClient, settings: Settings) -> None:
    told = (await client.get("/v1/capabilities")).json()
    assert told["uploads"] == {"href": "/v1/datasets", "formats": ["npz", "idx", "images"], "max_bytes": settings.dataset_bytes}
    assert "uploaded" in {kind["kind"] for kind in told["families"]["dataset"]}


async def test_a_clone_on_another_set_is_checked_against_that_one(client: httpx.AsyncClient) -> None:
    one, other = await sent(client, npz(1)), await sent(client, npz(x=np.ones((8, 9), np.float32), y=np.arange(8) % 2))
    spec = {"dataset": {"kind": "uploaded", "id": one["id"]}, "model": {"kind": "linear"}}
    job = (await client.post("/v1/jobs", json=spec)).json()
    asked = {"overrides": {"dataset": {"id": other["id"]}}}
    clone = await client.post(f"/v1/jobs/{job['id']}/clone", json=asked)
    assert clone.status_code == 201, clone.text
    assert clone.json()["spec"]["dataset"]["resolved"]["width"] == 9
    assert (await client.delete(other["links"]["self"])).status_code == 409

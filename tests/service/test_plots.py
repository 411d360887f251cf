"""Pictures of a job: each decodes, is as large as asked for, shows what the numbers say, and is the same each time."""

import hashlib
import io
import xml.etree.ElementTree as ET
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save

from contract.artifacts import LocalFolder
from contract.errors import ArtifactCorruptError
from contract.events import File
from contract.store import checkpoints
from service import plots, tensors

pytestmark = pytest.mark.anyio
CONV = np.random.default_rng(0).normal(size=(8, 1, 3, 3)).astype("f4")
DENSE = np.random.default_rng(1).normal(size=(5, 48)).astype("f4")


def keep(hands: Any, lease: Any, weights: dict[str, np.ndarray[Any, Any]] | bytes) -> None:
    """A checkpoint whose model holds these weights."""
    body = weights if isinstance(weights, bytes) else save(weights, {"normalization": "{}"})
    source, prefix, sha256 = hands.folder / "model", f"{lease.job_id}/{lease.fence}/1", hashlib.sha256(body).hexdigest()
    source.write_bytes(body)
    hands.artifacts.put(f"{prefix}/model.safetensors", source, sha256)
    file = File(name="model.safetensors", size_bytes=len(body), sha256=sha256)
    checkpoints.record(hands.store, lease, checkpoints.Draft(1, 10, {"val.loss": 0.4}, False, prefix, [file]))


@pytest.fixture(scope="module")
async def finished(standing: httpx.AsyncClient, standing_hands: Any) -> str:
    """The path of the pictures of a job that has all of them."""
    hands, job_id = standing_hands, (await standing.post("/v1/jobs", json={"dataset": {"kind": "fake"}, "epochs": 2})).json()["id"]
    lease = hands.claim(job_id)
    for epoch in (1, 2):
        hands.epoch(lease, epoch, **{"train.loss": 1 / epoch, "val.loss": 2 / epoch, "train.penalty.l1": 1e-4, "lr": 0.1})
    keep(hands, lease, {"conv1.weight": CONV, "conv1.bias": np.zeros(8, "f4"), "fc1.weight": DENSE})
    hands.succeed(lease)
    return f"/v1/jobs/{job_id}/plots"


def pixels(reply: httpx.Response) -> "np.ndarray[Any, Any]":
    assert (reply.status_code, reply.headers["content-type"]) == (200, "image/png"), reply.text
    with Image.open(io.BytesIO(reply.content)) as image:
        image.load()
        return np.asarray(image.convert("RGB"), float)


def words(reply: httpx.Response) -> set[str]:
    """Every text of an SVG, which must hold nothing that acts."""
    assert (reply.status_code, reply.headers["content-type"].split(";")[0]) == (200, "image/svg+xml"), reply.text
    elements = list(ET.fromstring(reply.text).iter())
    assert not [element for element in elements if element.tag.endswith(("script", "foreignObject", "iframe"))]
    assert not [name for element in elements for name in element.attrib if name.startswith("on")]
    return {"".join(element.itertext()).strip() for element in elements if element.tag.endswith("text")}


@pytest.mark.parametrize("plot", plots.KINDS)
@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_a_png_is_as_large_as_asked_for_and_not_blank(standing: httpx.AsyncClient, finished: str, plot: str, theme: str) -> None:
    seen = pixels(await standing.get(f"{finished}/{plot}.png", params={"theme": theme, "width": 300, "height": 200, "dpi": 200}))
    assert seen.shape == (400, 600, 3)
    assert seen.std() > 5
    page = {"light": (255, 255, 255), "dark": (0x1A, 0x20, 0x29)}[theme]
    assert tuple(seen[0, 0]) == page


@pytest.mark.parametrize(
    ("plot", "told"),
    [
        ("loss", {"train.loss", "val.loss", "train.penalty.l1", "epoch"}),
        ("confusion", {"9", "10", "·", "true class"}),
        ("sparsity", {"fc1", "37.5 %", "exactly 0"}),
        ("filters", {"conv1.weight after epoch 1"}),
    ],
)
async def test_an_svg_says_in_words_what_it_shows(standing: httpx.AsyncClient, finished: str, plot: str, told: set[str]) -> None:
    reply = await standing.get(f"{finished}/{plot}.svg")
    assert told <= words(reply)
    assert "lr" not in words(reply)
    assert "sandbox" in reply.headers["content-security-policy"]


@pytest.mark.parametrize("picture", ["loss.svg", "filters.svg", "confusion.png"])
async def test_the_same_numbers_give_the_same_bytes_and_are_not_sent_twice(
    standing: httpx.AsyncClient, finished: str, picture: str
) -> None:
    first, second = [await standing.get(f"{finished}/{picture}") for _ in range(2)]
    assert first.content == second.content
    assert b"<dc:date>" not in first.content
    assert first.headers["cache-control"] == "private, no-cache"
    again = await standing.get(f"{finished}/{picture}", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = await standing.get(f"{finished}/{picture}", params={"theme": "dark"}, headers={"If-None-Match": first.headers["etag"]})
    assert other.status_code == 200


async def test_the_loss_can_be_drawn_while_the_job_trains(client: httpx.AsyncClient, hands: Any, job_id: str) -> None:
    early = await client.get(f"/v1/jobs/{job_id}/plots/loss.svg")
    assert (early.status_code, early.json()["code"]) == (409, "not_finished")
    lease = hands.claim(job_id)
    hands.step(lease, 1, **{"train.loss": 2.0})
    first = await client.get(f"/v1/jobs/{job_id}/plots/loss.svg")
    hands.step(lease, 2, **{"train.loss": float("nan")})
    hands.step(lease, 3, **{"train.loss": float("inf")})
    second = await client.get(f"/v1/jobs/{job_id}/plots/loss.svg", headers={"If-None-Match": first.headers["etag"]})
    assert "train.loss" in words(first)
    assert "2 values that are not finite are left out" in words(second)


async def test_terms_far_apart_share_a_logarithmic_scale_and_zeros_do_not(client: httpx.AsyncClient, hands: Any, job_id: str) -> None:
    lease = hands.claim(job_id)
    for epoch in (1, 2):
        hands.epoch(lease, epoch, **{"train.loss": 3.0, "train.penalty.l1": 1e-4})
    wide = words(await client.get(f"/v1/jobs/{job_id}/plots/loss.svg"))
    hands.epoch(lease, 3, **{"train.loss": 3.0, "train.penalty.l1": 0.0})
    straight = words(await client.get(f"/v1/jobs/{job_id}/plots/loss.svg"))
    assert {"0.0001", "0.01", "1"} <= wide
    assert "0.0001" not in straight


@pytest.mark.parametrize("plot", ["confusion", "sparsity", "filters"])
async def test_what_cannot_be_drawn_yet_is_told_from_what_never_can(client: httpx.AsyncClient, hands: Any, job_id: str, plot: str) -> None:
    path = f"/v1/jobs/{job_id}/plots/{plot}.png"
    early = await client.get(path)
    assert (early.status_code, early.json()["code"]) == (409, "not_finished")
    hands.fail(hands.claim(job_id))
    late = await client.get(path)
    assert (late.status_code, late.json()["code"]) == (409, "no_result")
    assert (await client.get(f"/v1/jobs/{job_id}/plots/loss.png")).json()["code"] == "no_result"


@pytest.mark.parametrize("picture", ["nope.png", "loss.gif", "loss", "loss.png.svg", ".png", "loss.", "%00.png", "LOSS.PNG"])
async def test_a_picture_that_there_is_not_is_not_found(standing: httpx.AsyncClient, standing_job: str, picture: str) -> None:
    assert (await standing.get(f"/v1/jobs/{standing_job}/plots/{picture}")).status_code == 404


async def test_a_picture_of_a_job_that_there_is_not_is_not_found(standing: httpx.AsyncClient) -> None:
    assert (await standing.get(f"/v1/jobs/job_{'0' * 26}/plots/loss.png")).status_code == 404


@pytest.mark.parametrize(
    "look", ["width=199", "width=1601", "height=149", "height=1601", "dpi=49", "dpi=201", "theme=blue", "size=9", "width=x"]
)
async def test_a_picture_can_be_neither_huge_nor_nothing(standing: httpx.AsyncClient, standing_job: str, look: str) -> None:
    reply = await standing.get(f"/v1/jobs/{standing_job}/plots/loss.png?{look}")
    assert (reply.status_code, reply.json()["errors"][0]["pointer"]) == (422, f"/query/{look.split('=')[0]}")


async def test_names_from_users_are_words_and_nothing_else(client: httpx.AsyncClient, hands: Any) -> None:
    name = "$x^2$ <script>alert(1)</script>\uffff & ünïcode"
    job = (await client.post("/v1/jobs", json={"name": name, "dataset": {"kind": "fake"}})).json()
    hands.epoch(hands.claim(job["id"]), 1, **{"train.loss": 1.0})
    told = words(await client.get(f"/v1/jobs/{job['id']}/plots/loss.svg"))
    assert "$x^2$ <script>alert(1)</script>\ufffd & ünïcode" in told


async def test_bytes_that_are_no_model_and_bytes_that_are_gone_are_told_apart(client: httpx.AsyncClient, hands: Any, job_id: str) -> None:
    keep(hands, hands.claim(job_id), b"no safetensors at all")
    assert (await client.get(f"/v1/jobs/{job_id}/plots/filters.png")).status_code == 500
    hands.artifacts.delete(job_id)
    assert (await client.get(f"/v1/jobs/{job_id}/plots/filters.png")).status_code == 410


@pytest.mark.parametrize("kind", ["f8", "f4", "f2", "bf16"])
def test_rows_of_a_tensor_are_read_in_every_kind_of_float(hands: Any, kind: str) -> None:
    values = np.array([[1.5, -2.0], [0.25, 3.0], [9.0, 9.0]], "f4")
    body = bfloat16(values) if kind == "bf16" else save({"a.bias": np.ones(3, "f4"), "w": values.astype(kind), "n": np.ones(2, "i8")})
    (hands.folder / "model").write_bytes(body)
    hands.artifacts.put("key", hands.folder / "model", hashlib.sha256(body).hexdigest())
    found = tensors.listed(hands.artifacts, "key")
    assert "n" not in {tensor.name for tensor in found}
    read = tensors.rows(hands.artifacts, "key", found[-1], 2)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, values[:2])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"1234567",
        b"\xff" * 8,
        (9).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (8).to_bytes(8, "little") + b'{"a": 1}',
    ],
)
def test_what_is_no_safetensors_file_is_called_corrupt(hands: Any, body: bytes) -> None:
    (hands.folder / "model").write_bytes(body)
    hands.artifacts.put("key", hands.folder / "model", hashlib.sha256(body).hexdigest())
    with pytest.raises(ArtifactCorruptError):
        tensors.listed(hands.artifacts, "key")


def test_of_a_large_tensor_only_the_rows_asked_for_are_read(hands: Any) -> None:
    body, asked = save({"w": np.zeros((1000, 100), "f4")}), []

    class Counted(LocalFolder):
        def read(self, key: str, start: int = 0, end: int | None = None) -> Any:
            asked.append((end or 0) - start)
            return super().read(key, start, end)

    (hands.folder / "model").write_bytes(body)
    store = Counted(hands.artifacts.folder)
    store.put("key", hands.folder / "model", hashlib.sha256(body).hexdigest())
    assert tensors.rows(store, "key", tensors.listed(store, "key")[0], 3).shape == (3, 100)
    assert sum(asked) < 3 * 400 + 200


def bfloat16(values: "np.ndarray[Any, Any]") -> bytes:
    held = (values.view("<u4") >> 16).astype("<u2").tobytes()
    header = f'{{"w":{{"dtype":"BF16","shape":[3,2],"data_offsets":[0,{len(held)}]}}}}'.encode()
    return len(header).to_bytes(8, "little") + header + held

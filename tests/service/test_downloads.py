"""A download that breaks off and is taken up again gives the same bytes, wherever they are kept."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from contract import objects
from contract.settings import Settings
from contract.store import Store
from service.app import create_app
from tests.service.conftest import BYTES, Hands

pytestmark = pytest.mark.anyio

SIZE, SHA256 = len(BYTES), hashlib.sha256(BYTES).hexdigest()


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """The settings, with artifacts in each kind of place."""
    if request.param == "folder":
        return settings
    return settings.model_copy(update={"artifacts_url": f"s3://ridgeline/{uuid4().hex}", "s3_endpoint": request.getfixturevalue("s3")})


@pytest.fixture
async def file(place: Settings, sqlite_store: Store, serve: Any, tmp_path: Path) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    """A client, and where a file of a checkpoint is."""
    async with serve(create_app(place)) as client:
        job_id = (await client.post("/v1/jobs", json={"dataset": {"kind": "fake"}})).json()["id"]
        hands = Hands(sqlite_store, objects.opened(place), tmp_path)  # type: ignore[arg-type]
        hands.checkpoint(hands.claim(job_id), 1, 0.5)
        yield client, (await client.get(f"/v1/jobs/{job_id}/checkpoints/last")).json()["files"][0]["href"]


async def test_a_download_in_pieces_has_the_sha256_of_the_whole(file: tuple[httpx.AsyncClient, str]) -> None:
    client, href = file
    whole = await client.get(href)
    assert hashlib.sha256(whole.content).hexdigest() == SHA256
    arrived = whole.content[: SIZE // 3]
    while len(arrived) < SIZE:
        asked = {"Range": f"bytes={len(arrived)}-", "If-Range": whole.headers["etag"]}
        reply = await client.get(href, headers=asked)
        assert reply.status_code == 206
        assert reply.headers["content-range"] == f"bytes {len(arrived)}-{SIZE - 1}/{SIZE}"
        arrived += reply.content[:2000]  # and it breaks again
    assert hashlib.sha256(arrived).hexdigest() == SHA256


async def test_the_edges_of_a_file_are_where_they_should_be(file: tuple[httpx.AsyncClient, str]) -> None:
    client, href = file
    for asked, status, content in (
        ("bytes=0-0", 206, BYTES[:1]),
        ("bytes=-1", 206, BYTES[-1:]),
        (f"bytes={SIZE - 1}-{SIZE + 9}", 206, BYTES[-1:]),
        ("bytes=0-1,4-5", 200, BYTES),
    ):
        reply = await client.get(href, headers={"Range": asked})
        assert (reply.status_code, reply.content) == (status, content)
    beyond = await client.get(href, headers={"Range": f"bytes={SIZE}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{SIZE}")


async def test_head_knows_what_the_client_has(file: tuple[httpx.AsyncClient, str]) -> None:
    client, href = file
    headed = await client.head(href)
    assert (headed.status_code, headed.headers["content-length"]) == (200, str(SIZE))
    assert (await client.head(href, headers={"If-None-Match": headed.headers["etag"]})).status_code == 304


async def test_bytes_that_are_gone_are_told_as_gone(file: tuple[httpx.AsyncClient, str], place: Settings) -> None:
    client, href = file
    objects.opened(place).delete(href.split("/")[3])
    assert [(await client.request(method, href)).status_code for method in ("GET", "HEAD")] == [410, 410]

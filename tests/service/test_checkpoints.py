"""A job's checkpoints, and their bytes: whole, in part, or not at all."""

import base64
import hashlib
from typing import Any

import httpx
import pytest

from contract.store import checkpoints
from service import ranges
from service.errors import RangeError
from tests.service.conftest import BYTES

pytestmark = pytest.mark.anyio

SIZE = len(BYTES)
SHA256 = hashlib.sha256(BYTES)
ETAG = f'"{SHA256.hexdigest()}"'
DIGEST = f"sha-256=:{base64.b64encode(SHA256.digest()).decode()}:"


async def trained(client: httpx.AsyncClient, hands: Any, job_id: str) -> str:
    """Four checkpoints of the job, of which the policy drops one. Where the file of the best is."""
    lease = hands.claim(job_id)
    for epoch, loss in ((1, 0.9), (2, 0.1), (3, 0.5), (4, 0.6)):
        hands.checkpoint(lease, epoch, loss)
    best = (await client.get(f"/v1/jobs/{job_id}/checkpoints/best")).json()
    return str(best["files"][0]["href"])


@pytest.fixture(scope="module")
async def href(standing: httpx.AsyncClient, standing_hands: Any, standing_job: str) -> str:
    return await trained(standing, standing_hands, standing_job)


async def test_the_checkpoints_that_are_kept_are_listed_with_their_names(standing: httpx.AsyncClient, href: str, standing_job: str) -> None:
    page = (await standing.get(f"/v1/jobs/{standing_job}/checkpoints")).json()
    assert [(found["epoch"], found["aliases"]) for found in page["data"]] == [(4, ["last"]), (3, []), (2, ["best"])]
    job = (await standing.get(f"/v1/jobs/{standing_job}")).json()
    assert job["best"] == {"checkpoint_id": page["data"][2]["id"], "epoch": 2, "metric": "val.loss", "value": 0.1}


@pytest.mark.parametrize(("name", "epoch"), [("best", 2), ("last", 4)])
async def test_best_and_last_are_names_of_checkpoints(
    standing: httpx.AsyncClient, href: str, standing_job: str, name: str, epoch: int
) -> None:
    named = (await standing.get(f"/v1/jobs/{standing_job}/checkpoints/{name}")).json()
    by_id = (await standing.get(f"/v1/jobs/{standing_job}/checkpoints/{named['id']}")).json()
    assert named == by_id
    assert named["epoch"] == epoch


async def test_a_checkpoint_that_was_not_kept_is_gone(
    standing: httpx.AsyncClient, standing_hands: Any, href: str, standing_job: str
) -> None:
    dropped, _ = checkpoints.to_purge(standing_hands.store)[0]
    reply = await standing.get(f"/v1/jobs/{standing_job}/checkpoints/{dropped}")
    assert (reply.status_code, reply.json()["code"]) == (410, "gone")


async def test_a_download_is_the_whole_file_with_its_checksum(standing: httpx.AsyncClient, href: str) -> None:
    reply = await standing.get(href)
    assert (reply.status_code, reply.content) == (200, BYTES)
    assert reply.headers["etag"] == ETAG
    assert reply.headers["content-digest"] == reply.headers["repr-digest"] == DIGEST
    assert reply.headers["content-length"] == str(SIZE)
    assert reply.headers["accept-ranges"] == "bytes"
    assert reply.headers["content-disposition"].startswith('attachment; filename="ckpt_')


async def test_head_gives_the_headers_of_the_download_alone(standing: httpx.AsyncClient, href: str) -> None:
    got, headed = await standing.get(href), await standing.head(href)
    own = {"x-request-id"}
    assert (headed.status_code, headed.content) == (200, b"")
    assert {k: v for k, v in headed.headers.items() if k not in own} == {k: v for k, v in got.headers.items() if k not in own}


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("bytes=0-0", 0, 1), ("bytes=5-9", 5, 10), ("bytes=100-", 100, SIZE), ("bytes=-7", SIZE - 7, SIZE), (f"bytes=0-{SIZE * 9}", 0, SIZE)],
)
async def test_a_range_is_answered_with_its_bytes(standing: httpx.AsyncClient, href: str, asked: str, start: int, end: int) -> None:
    reply = await standing.get(href, headers={"Range": asked})
    assert (reply.status_code, reply.content) == (206, BYTES[start:end])
    assert reply.headers["content-range"] == f"bytes {start}-{end - 1}/{SIZE}"
    assert reply.headers["content-length"] == str(end - start)
    # RFC 9530: the digest of a part is not the digest of the whole.
    assert "content-digest" not in reply.headers
    assert reply.headers["repr-digest"] == DIGEST


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE}", "bytes=-0", "bytes=999999999999999-"])
async def test_a_range_past_the_end_is_a_416_that_tells_the_size(standing: httpx.AsyncClient, href: str, asked: str) -> None:
    reply = await standing.get(href, headers={"Range": asked})
    assert (reply.status_code, reply.json()["code"]) == (416, "range_not_satisfiable")
    assert reply.headers["content-range"] == f"bytes */{SIZE}"


@pytest.mark.parametrize(
    "asked", ["bytes=0-1,5-6", "bytes=9-3", "bytes=-", "bytes=", "lines=1-2", "", "bytes=" + "9" * 4000 + "-", "bytes=a-b"]
)
async def test_what_is_no_single_range_gets_the_whole_file(standing: httpx.AsyncClient, href: str, asked: str) -> None:
    reply = await standing.get(href, headers={"Range": asked})
    assert (reply.status_code, len(reply.content)) == (200, SIZE)


@pytest.mark.parametrize(("tags", "status"), [(ETAG, 304), (f'"x", W/{ETAG}', 304), ("*", 304), ('"x"', 200), ("", 200)])
async def test_bytes_that_the_client_has_are_not_sent_again(standing: httpx.AsyncClient, href: str, tags: str, status: int) -> None:
    reply = await standing.get(href, headers={"If-None-Match": tags})
    assert (reply.status_code, reply.headers["etag"]) == (status, ETAG)
    assert len(reply.content) == (SIZE if status == 200 else 0)


@pytest.mark.parametrize(("tag", "status"), [(ETAG, 206), ('"other"', 200)])
async def test_a_download_is_resumed_only_if_the_file_is_the_same(standing: httpx.AsyncClient, href: str, tag: str, status: int) -> None:
    reply = await standing.get(href, headers={"Range": "bytes=5-", "If-Range": tag})
    assert reply.status_code == status


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_bytes_that_are_no_longer_there_are_gone(client: httpx.AsyncClient, hands: Any, job_id: str, method: str) -> None:
    href = await trained(client, hands, job_id)
    hands.artifacts.delete(job_id)
    assert (await client.request(method, href)).status_code == 410


async def test_a_file_of_another_length_is_never_sent(client: httpx.AsyncClient, hands: Any, job_id: str) -> None:
    href = await trained(client, hands, job_id)
    for stored in hands.artifacts.list(job_id):
        (hands.artifacts.folder / stored.key).write_bytes(BYTES[:-1])
    reply = await client.get(href)
    assert (reply.status_code, reply.json()["code"]) == (500, "internal")


@pytest.mark.parametrize("size", [0, 1, 5])
def test_every_range_lies_within_the_file(size: int) -> None:
    for asked in (f"bytes={a}-{b}" for a in ("", *range(7)) for b in ("", *range(7))):
        try:
            span = ranges.wanted(asked, size)
        except RangeError:
            continue
        assert span is None or 0 <= span.start < span.end <= size

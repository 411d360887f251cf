"""Which bodies are taken as they arrive, up to which bounds, and that one that is not leaves nothing behind."""

import base64
import errno
import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from fastapi import Request

from contract.errors import ArtifactsUnavailableError
from contract.settings import Settings
from service import body, uploads
from service.errors import BadHeaderError, BodyTooLargeError, InvalidDatasetError, MalformedBodyError, UnsupportedMediaTypeError
from service.uploads import Upload

pytestmark = pytest.mark.anyio

BYTES = b"PK" * 1000
DIGEST = f"sha-256=:{base64.b64encode(hashlib.sha256(BYTES).digest()).decode()}:"
ZIP = {"Content-Type": "application/zip"}


def asking(headers: dict[str, str], *pieces: bytes) -> Request:
    messages = iter([{"type": "http.request", "body": piece, "more_body": True} for piece in pieces] + [{"type": "http.request"}])

    async def receive() -> Any:
        return next(messages)

    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "path": "/v1/datasets", "headers": raw}, receive)


async def arrived(settings: Settings, headers: dict[str, str], *pieces: bytes) -> bytes:
    """What was received. Nothing of it is there afterwards."""
    try:
        async with uploads.received(asking(headers, *pieces), settings) as upload:
            return upload.file.read_bytes()
    finally:
        left = settings.scratch_folder / "uploads"
        assert not left.exists() or list(left.iterdir()) == []


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"Content-Type": "Application/ZIP"}, {"Content-Type": "application/octet-stream ; charset=binary"}, {"Content-Length": "2000"},
        {"Content-Encoding": "Identity "}, {"Content-Digest": DIGEST}, {"Content-Digest": f"sha-512=:AA==:,  {DIGEST}"},
        {"Content-Digest": "md5=:AA==:"},
    ],
    ids=str,
)  # fmt: skip
async def test_a_file_is_taken_whole_however_its_headers_are_spelled(settings: Settings, headers: dict[str, str]) -> None:
    assert await arrived(settings, ZIP | headers, BYTES[:7], b"", BYTES[7:]) == BYTES


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({"Content-Type": ""}, UnsupportedMediaTypeError), ({"Content-Type": "application/zip2"}, UnsupportedMediaTypeError),
        ({"Content-Encoding": "br"}, UnsupportedMediaTypeError), ({"Content-Length": "x"}, BadHeaderError),
        ({"Content-Length": "-1"}, BadHeaderError), ({"Content-Length": "\xb2"}, BadHeaderError), ({"Content-Length": ""}, BadHeaderError),
        ({"Content-Length": "1999"}, BadHeaderError), ({"Content-Length": "2001"}, BadHeaderError),
        ({"Content-Length": "9" * 5000}, BodyTooLargeError), ({"Content-Length": "4001"}, BodyTooLargeError),
        ({"Content-Digest": DIGEST.replace(":", ":A", 1)}, BadHeaderError), ({"Content-Digest": f"md5=:AA==:, {DIGEST[:-9]}"}, BadHeaderError),
    ],
    ids=lambda given: str(given)[:40],
)  # fmt: skip
async def test_a_file_that_is_not_what_its_headers_say_leaves_nothing(
    settings: Settings, headers: dict[str, str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await arrived(settings.model_copy(update={"dataset_bytes": 4000}), ZIP | headers, BYTES)


async def test_a_file_may_have_as_many_bytes_as_are_allowed_and_not_one_more(settings: Settings) -> None:
    limited = settings.model_copy(update={"dataset_bytes": len(BYTES)})
    assert await arrived(limited, ZIP, BYTES) == BYTES
    with pytest.raises(BodyTooLargeError):
        await arrived(limited, ZIP, BYTES, b"x")


@pytest.mark.parametrize(
    ("number", "told"), [(errno.ENOSPC, "is full"), (errno.EDQUOT, "is full"), (errno.EIO, "cannot be used: Input/output error")]
)
async def test_a_scratch_folder_that_has_no_room_is_told_as_ours(
    settings: Settings, number: int, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "open", failing)
    with pytest.raises(ArtifactsUnavailableError, match=told):
        await arrived(settings, ZIP, BYTES)


async def test_a_check_that_breaks_refuses_the_file_and_is_given_nothing_of_ours(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    given: dict[str, Any] = {}

    def broken(command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        given.update(options, limits=json.loads(command[-1]))
        return subprocess.CompletedProcess(command, -9, b'{"format": "npz"}', b"killed \xff")

    for name in ("AWS_SECRET_ACCESS_KEY", "RIDGELINE_ADMIN_KEY", "RIDGELINE_DATABASE_URL"):
        monkeypatch.setenv(name, "s3cr3t")
    monkeypatch.setattr(subprocess, "run", broken)
    with pytest.raises(InvalidDatasetError) as refused:
        await uploads.checked(Upload(tmp_path, tmp_path / "body"), settings)
    assert [fault.code for fault in refused.value.faults] == ["unreadable"]
    assert (given["stdin"], given["timeout"]) == (subprocess.DEVNULL, settings.dataset_check_seconds)
    assert given["limits"] == {"bytes": settings.dataset_bytes, "seconds": settings.dataset_check_seconds}
    assert set(given["env"]) <= {"PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "RIDGELINE_STACK", "PYTHONPATH"} | {
        f"{name}_NUM_THREADS" for name in ("OPENBLAS", "OMP")
    }
    assert "killed \ufffd" in caplog.text


# --- JSON ---------------------------------------------------------------------------------------------------------------------------

BOUNDS: dict[str, tuple[int, Any]] = {
    "members": (body.MAX_MEMBERS, lambda count: {f"f{number}": 1 for number in range(count)}),
    "items": (body.MAX_ITEMS, lambda count: [1] * count),
    "items below": (body.MAX_ITEMS, lambda count: {"a": [{"b": [1] * count}]}),
    "letters of a name": (body.MAX_NAME, lambda count: {"n" * count: 1}),
    "digits": (body.MAX_DIGITS, lambda count: {"epochs": int("1" * count)}),
    "values": (body.MAX_VALUES, lambda count: [[1] * 400] * 5 + [[1] * (count - 2006)]),
}


@pytest.mark.parametrize(("most", "made"), BOUNDS.values(), ids=BOUNDS.keys())
def test_a_document_is_read_up_to_its_bounds(most: int, made: Any) -> None:
    assert body.parse(json.dumps(made(most)).encode()) == made(most)
    with pytest.raises(MalformedBodyError, match=r"at most|more than"):
        body.parse(json.dumps(made(most + 1)).encode())


@pytest.mark.parametrize(("piece", "count"), [(b"[],", 834), (b"{},", 834), (b"[{}", 1251)])
def test_brackets_count_as_values_of_whatever_kind(piece: bytes, count: int) -> None:
    with pytest.raises(MalformedBodyError, match="more than 2,500 values"):
        body.parse(piece * (count * 2))

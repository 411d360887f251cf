"""Files that were made to harm, or broke on the way, are refused with what is wrong with them, and leave nothing."""

import gzip
import io
import os
import re
import stat
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from contract.store import Store, schema
from tests.uploading import OCTETS, npz

pytestmark = pytest.mark.anyio

X, Y = np.arange(40, dtype=np.float32).reshape(10, 4), np.arange(10) % 2
MEBIBYTE = 1024**2


def zipped(*entries: tuple[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return file.getvalue()


def special(name: str, kind: int, content: bytes = b"/etc/passwd") -> bytes:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (kind | 0o777) << 16
    return zipped((info, content))


def picture(size: tuple[int, int] = (4, 4), kind: str = "PNG", mode: str = "L") -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, 7).save(file, kind)
    return file.getvalue()


def classes(odd: bytes = b"", name: str = "b/1.png") -> bytes:
    return zipped(("a/1.png", picture()), ("b/0.png", picture()), *([(name, odd)] if odd else []))


def huge_picture() -> bytes:
    """A PNG whose header claims 60,000 x 60,000 pixels."""
    body = picture()
    header = body[12:16] + struct.pack(">II", 60_000, 60_000) + body[24:29]
    return body[:12] + header + struct.pack(">I", zlib.crc32(header)) + body[33:]


def lying_array(shape: str) -> bytes:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + b"\0" * 64


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def overlapping() -> bytes:
    """Two names for the same bytes, as in the bombs that need no nesting."""
    body = bytearray(zipped(("x.npy", npy(X)), ("y.npy", npy(X))))
    second = body.rindex(b"PK\x01\x02")
    body[second + 42 : second + 46] = struct.pack("<I", 0)
    return bytes(body)


def million_entries() -> bytes:
    entry = b"PK\x01\x02" + b"\0" * 42
    return b"PK\x03\x04" + entry * 10 + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 0xFFFE, 0xFFFE, 0xF0000000, 4, 0)


def many_entries() -> bytes:
    """An end record that admits to one entry, of a directory of 100 MiB."""
    return b"PK\x03\x04" + b"PK\x01\x02" + b"\0" * 42 + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 1, 1, 100 * MEBIBYTE, 4, 0)


def gzip_bomb() -> bytes:
    labels = ("train-labels-idx1-ubyte", idx(LABELS))
    return zipped(("train-images-idx3-ubyte.gz", gzip.compress(bytes(80 * MEBIBYTE))), labels, compression=zipfile.ZIP_STORED)


def bomb() -> bytes:
    return zipped(("x.npy", bytes(80 * MEBIBYTE)), ("y.npy", npy(Y)))


def idx(values: np.ndarray, code: int = 8) -> bytes:
    return bytes([0, 0, code, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape) + values.tobytes()


PIXELS, LABELS = np.zeros((4, 3, 3), np.uint8), np.array([0, 1, 0, 1], np.uint8)
UPLOADS: dict[str, tuple[bytes | Callable[[], bytes], str]] = {
    "nothing": (b"", "empty"),
    "text": (b"hello", "unknown_format"),
    "a_pickle": (b"\x80\x04K\x01.", "unknown_format"),
    "one_array": (npy(X), "unknown_format"),
    "an_empty_archive": (zipped(), "empty"),
    "a_cut_archive": (npz()[:-30], "broken_archive"),
    "a_bit_turned": (npz()[:90] + bytes([npz()[90] ^ 1]) + npz()[91:], "broken_archive"),
    "a_way_out": (zipped(("../../x.npy", npy(X)), ("y.npy", npy(Y))), "unsafe_entry"),
    "an_absolute_path": (zipped(("/etc/x.npy", npy(X))), "unsafe_entry"),
    "a_windows_path": (zipped(("..\\x.npy", npy(X))), "unsafe_entry"),
    "a_link": (special("x.npy", stat.S_IFLNK), "unsafe_entry"),
    "a_device": (special("x.npy", stat.S_IFCHR), "unsafe_entry"),
    "a_name_of_two_lines": (zipped(("a\nlevel=error forged.png", picture())), "unsafe_entry"),
    "a_huge_name": (zipped(("a/" + "b" * 5000 + ".png", picture())), "unsafe_entry"),
    "an_archive_within": (zipped(("a/1.zip", zipped(("b", b"c")))), "unsafe_entry"),
    "one_name_twice": (zipped(("x.npy", npy(X)), ("X.NPY", npy(X)), ("y.npy", npy(Y))), "duplicate_entry"),
    "bytes_used_twice": (overlapping(), "overlapping_entries"),
    "a_bomb": (bomb, "ratio"),
    "a_gzip_bomb": (gzip_bomb, "ratio"),
    "a_million_entries": (million_entries(), "too_many_entries"),
    "a_directory_that_lies": (many_entries(), "too_many_entries"),
    "a_trillion_rows": (zipped(("x.npy", lying_array("(1000000000000, 4)")), ("y.npy", npy(Y))), "lying_header"),
    "less_than_no_rows": (zipped(("x.npy", lying_array("(-4, -4)")), ("y.npy", npy(Y))), "lying_header"),
    "a_header_of_code": (zipped(("x.npy", lying_array("__import__('os')")), ("y.npy", npy(Y))), "broken_array"),
    "pickled_objects": (npz(x=np.array([{}, 1], object), y=np.arange(2)), "pickled"),
    "other_arrays": (npz(inputs=X, y=Y), "unknown_arrays"),
    "too_few_targets": (npz(x=X, y=Y[:9]), "row_mismatch"),
    "one_class": (npz(x=X, y=np.zeros(10, int)), "single_class"),
    "no_label": (npz(x=X, y=np.full(10, -1)), "single_class"),
    "a_class_without_rows": (npz(x=X, y=Y * 2), "empty_class"),
    "a_class_out_of_range": (npz(x=X, y=np.where(Y == 1, 2**63, 0).astype(np.uint64)), "unknown_class"),
    "no_number": (npz(x=np.where(X == 5, np.nan, X), y=Y), "not_finite"),
    "whole_numbers": (npz(x=X.astype(np.int64), y=Y), "unknown_type"),
    "channels_last": (npz(x=np.zeros((10, 8, 8, 3), np.uint8), y=Y), "channels_last"),
    "other_test_rows": (npz(x_train=X, y_train=Y, x_test=X[:, :3], y_test=Y), "split_mismatch"),
    "images_without_labels": (zipped(("train-images-idx3-ubyte", idx(PIXELS))), "missing_file"),
    "a_cut_idx": (zipped(("train-images-idx3-ubyte", idx(PIXELS)[:-1]), ("train-labels-idx1-ubyte", idx(LABELS))), "lying_header"),
    "a_drawing_called_png": (classes(b"<svg onload=alert(1)>"), "not_an_image"),
    "a_gif_called_png": (classes(picture(kind="GIF")), "not_an_image"),
    "a_pixel_bomb": (classes(huge_picture()), "too_many_pixels"),
    "a_cut_image": (classes(picture((400, 400), mode="RGB")[:-60], "a/0.png"), "another_size"),
    "an_image_of_another_size": (classes(picture((5, 4))), "another_size"),
    "an_image_that_ends_early": (zipped(*((f"{name}/1.png", picture((90, 90))[:-40]) for name in "ab")), "broken_image"),
    "an_empty_folder": (zipped(("a/1.png", picture()), ("b/1.png", picture()), ("c/", b"")), "empty_class"),
    "images_without_folders": (zipped(("1.png", picture()), ("2.png", picture())), "misplaced"),
}  # fmt: skip


@pytest.mark.parametrize("name", UPLOADS)
async def test_a_file_that_is_no_data_set_is_refused_with_its_fault_and_leaves_nothing(
    standing: httpx.AsyncClient, standing_folder: Path, name: str
) -> None:
    body, code = UPLOADS[name]
    refused = await standing.post("/v1/datasets", content=body() if callable(body) else body, headers=OCTETS)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_dataset"), refused.text
    assert code in {error["code"] for error in refused.json()["errors"]}, refused.text
    assert (await standing.get("/v1/datasets")).json()["data"] == []
    assert list((standing_folder / "scratch" / "uploads").iterdir()) == []
    assert not (standing_folder / "artifacts" / "datasets").exists()
    assert not re.search(r"[\x00-\x1f]", refused.text)


async def test_of_a_million_faults_the_first_twenty_are_told_with_their_rows(standing: httpx.AsyncClient) -> None:
    refused = await standing.post("/v1/datasets", content=npz(x=np.full((1000, 2), np.inf), y=np.arange(1000) % 2), headers=OCTETS)
    pointers = [error["pointer"] for error in refused.json()["errors"]]
    assert pointers == [*(f"/x/{row}" for row in range(20)), ""]


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        ({"Content-Type": "application/json"}, {}, 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, {}, 415),
        ({**OCTETS, "Content-Encoding": "gzip"}, {}, 415),
        ({**OCTETS, "Content-Length": "99"}, {}, 400),
        ({**OCTETS, "Content-Length": str(10**15)}, {}, 413),
        ({**OCTETS, "Content-Digest": "sha-256=:AAAA:"}, {}, 400),
        ({**OCTETS, "Content-Disposition": "attachment; filename*=UTF-8''a%0Alevel%3Derror"}, {}, 400),
        ({**OCTETS, "Content-Disposition": f'attachment; filename="{"a" * 300}"'}, {}, 400),
        (OCTETS, {"name": "a\nb"}, 422),
        (OCTETS, {"name": "a" * 300}, 422),
        (OCTETS, {"nmae": "a"}, 422),
    ],
    ids=str,
)
async def test_a_body_that_is_not_what_its_headers_say_is_refused(
    standing: httpx.AsyncClient, headers: dict[str, str], query: dict[str, str], status: int
) -> None:
    refused = await standing.post("/v1/datasets", content=npz(), headers=headers, params=query)
    assert refused.status_code == status, refused.text
    assert refused.headers["content-type"] == "application/problem+json"


async def test_a_body_without_an_end_is_read_up_to_the_limit(settings: Any, sqlite_store: Store, serve: Callable[..., Any]) -> None:
    from service.app import create_app

    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += MEBIBYTE
            yield bytes(MEBIBYTE)

    async with serve(create_app(settings.model_copy(update={"dataset_bytes": 3 * MEBIBYTE}))) as client:
        # Asked in process, the client would read on for ever: it is asked for the first piece too many and no more.
        refused = await client.post("/v1/datasets", content=limited(endless(), 4), headers=OCTETS)
        unpacked = await client.post(
            "/v1/datasets", content=npz(x=np.zeros((MEBIBYTE, 1), np.float32), y=np.zeros(MEBIBYTE)), headers=OCTETS
        )
    assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")
    assert sent == 4 * MEBIBYTE
    assert unpacked.json()["errors"][0]["code"] == "too_large"
    assert list((settings.scratch_folder / "uploads").iterdir()) == []


async def limited(pieces: AsyncIterator[bytes], count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield await anext(pieces)


async def test_a_check_that_takes_too_long_is_ended(settings: Any, sqlite_store: Store, serve: Callable[..., Any]) -> None:
    from service.app import create_app

    async with serve(create_app(settings.model_copy(update={"dataset_check_seconds": 0.01}))) as client:
        refused = await client.post("/v1/datasets", content=npz(), headers=OCTETS)
    assert refused.json()["errors"][0]["code"] == "too_slow"


async def test_what_a_killed_process_left_is_removed_and_an_upload_that_takes_long_is_not(settings: Any, client: httpx.AsyncClient) -> None:
    left, arriving = (settings.scratch_folder / "uploads" / name for name in ("left", "arriving"))
    for folder in (left, arriving):
        folder.mkdir(parents=True)
        (folder / "body").write_bytes(b"x")
    for path in (left / "body", left, arriving):
        os.utime(path, (1.0, 1.0))
    assert (await client.post("/v1/datasets", content=npz(), headers=OCTETS)).status_code == 201
    assert [path.name for path in (settings.scratch_folder / "uploads").iterdir()] == ["arriving"]


async def test_the_check_of_an_upload_knows_none_of_our_secrets(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIDGELINE_ADMIN_KEY", "s3cr3t")
    known: list[dict[str, str]] = []
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda *asked, **options: (known.append(options["env"]), run(*asked, **options))[1])
    assert (await client.post("/v1/datasets", content=npz(), headers=OCTETS)).status_code == 201
    assert "s3cr3t" not in str(known)
    assert len(known) == 1


def test_the_memory_of_the_api_does_not_grow_with_what_is_uploaded(tmp_path: Path) -> None:
    """In a process of its own, over real HTTP."""
    store = Store(f"sqlite:///{tmp_path}/ridgeline.db")
    schema.migrate(store)
    store.close()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RIDGELINE_")}
    environment |= {
        "RIDGELINE_DATABASE_URL": f"sqlite:///{tmp_path}/ridgeline.db", "RIDGELINE_REDIS_URL": "redis://127.0.0.1:1/0",
        "RIDGELINE_ARTIFACTS_FOLDER": str(tmp_path / "artifacts"), "RIDGELINE_SCRATCH_FOLDER": str(tmp_path / "scratch"),
        "RIDGELINE_PORT": "0", "PYTHONPATH": str(Path(__file__).parents[2]),
    }  # fmt: skip
    np.savez(tmp_path / "large.npz", x=np.random.default_rng(0).integers(0, 256, (50_000, 1024), np.uint8), y=np.arange(50_000) % 10)
    process = subprocess.Popen(
        [sys.executable, "-m", "service"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().removeprefix("listening ").strip()
        with httpx.Client(base_url=url, timeout=200, trust_env=False) as client:
            assert client.post("/v1/datasets", content=npz(), headers=OCTETS).status_code == 201
            before = resident(process.pid)
            with (tmp_path / "large.npz").open("rb") as file:
                reply = client.post("/v1/datasets", content=file, headers=OCTETS)
            assert reply.status_code == 201, reply.text
            assert client.get("/healthz").status_code == 200
        assert resident(process.pid, "VmHWM") - before < 100 * MEBIBYTE
    finally:
        process.terminate()
        process.wait(30)


def resident(pid: int, what: str = "VmRSS") -> int:
    """Bytes, now or at most so far."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(what)]
    return int(line.split()[1]) * 1024

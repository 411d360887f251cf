"""How a file comes in: streamed to the scratch folder and counted on the way, then looked into by a process of its own."""

import asyncio
import base64
import contextlib
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import structlog
from fastapi import Request

from contract import ids
from contract.errors import ArtifactsUnavailableError
from contract.events import File
from contract.settings import Settings
from contract.spec.faults import Fault
from service import pace
from service.errors import BadHeaderError, BodyTooLargeError, InvalidDatasetError, UnsupportedMediaTypeError

log = structlog.get_logger(__name__)

_TYPES: Final = frozenset({"application/octet-stream", "application/zip"})
_PIECE: Final = 1 << 20
_AT_ONCE: Final = 2
_KEPT_FROM_US: Final = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "RIDGELINE_STACK")
"""What the check may know of our environment. There are passwords in the rest."""
# Threads of their own: requests that need one to be answered must not wait behind an upload.
_checks = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="intake")


@dataclass(frozen=True, slots=True)
class Upload:
    """A body that has arrived whole."""

    folder: Path
    """Its own, removed in the end."""
    file: Path


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found in an upload. Its files lie in `folder`."""

    folder: Path
    format: str
    sha256: str
    files: tuple[File, ...]
    facts: dict[str, Any]


@asynccontextmanager
async def received(request: Request, settings: Settings) -> AsyncIterator[Upload]:
    """The request's body as a file, for as long as it is needed.

    Raises UnsupportedMediaTypeError, BodyTooLargeError, BadHeaderError where it is not what its headers say, BodyTooSlowError where it
    does not come, and ArtifactsUnavailableError where there is no room for it.
    """
    _assert_plain(request)
    declared = _declared(request, settings.dataset_bytes)
    root = settings.scratch_folder.absolute() / "uploads"
    folder = root / ids.request()
    try:
        await asyncio.to_thread(_prepare, root, folder, settings.garbage_seconds)
        file = folder / "body"
        size, digest = await _stream(request, file, settings)
        if declared is not None and size != declared:
            raise BadHeaderError(f"Content-Length says {declared:,} bytes and {size:,} came; send the file again")
        _assert_digest(request, digest)
        yield Upload(folder, file)
    except OSError as error:
        raise _no_room(error) from error
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def checked(upload: Upload, settings: Settings) -> Verdict:
    """What the upload holds, found by a process of its own under limits. Raises InvalidDatasetError with all its faults."""
    told = await asyncio.get_running_loop().run_in_executor(_checks, _check, upload, settings)
    if faults := told.get("faults"):
        raise InvalidDatasetError([Fault(tuple(fault["path"]), fault["code"], fault["message"]) for fault in faults])
    files = tuple(File(**file) for file in told["files"])
    return Verdict(upload.folder / "kept", told["format"], told["sha256"], files, told["facts"])


def _assert_plain(request: Request) -> None:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind not in _TYPES:
        raise UnsupportedMediaTypeError("send the file itself as the body, with the header Content-Type: application/octet-stream")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaTypeError("send the file as it is, without Content-Encoding; .npz and zip are compressed themselves")


def _declared(request: Request, most: int) -> int | None:
    length = request.headers.get("content-length")
    if length is None:
        return None
    if not (length.isascii() and length.isdecimal()):
        raise BadHeaderError("Content-Length is no number of bytes")
    if len(length) > 18 or int(length) > most:
        raise _too_large(most)
    return int(length)


def _prepare(root: Path, folder: Path, older_than_seconds: float) -> None:
    """A fresh folder; and what uploads left whose process was killed is removed."""
    folder.mkdir(parents=True)
    oldest = time.time() - older_than_seconds
    for left in root.iterdir():
        with contextlib.suppress(OSError):
            if _last_written(left) < oldest:
                shutil.rmtree(left, ignore_errors=True)


def _last_written(folder: Path) -> float:
    """When an upload was last heard of: a large one may take hours to arrive, and a folder does not age with what is written to its files."""
    return max(path.stat().st_mtime for path in (folder, *folder.iterdir()))


async def _stream(request: Request, path: Path, settings: Settings) -> tuple[int, bytes]:
    """Writes the body to `path`; its size and SHA-256. A length that was declared may be a lie, and a body without one endless."""
    digest, size, waiting = hashlib.sha256(), 0, bytearray()

    def put(file: IO[bytes], piece: bytes) -> None:
        digest.update(piece)
        file.write(piece)

    with path.open("xb") as file:
        async for piece in pace.pieces(request, settings):
            size += len(piece)
            if size > settings.dataset_bytes:
                raise _too_large(settings.dataset_bytes)
            waiting += piece
            if len(waiting) >= _PIECE:
                await asyncio.to_thread(put, file, bytes(waiting))
                waiting.clear()
        await asyncio.to_thread(put, file, bytes(waiting))
    return size, digest.digest()


def _assert_digest(request: Request, found: bytes) -> None:
    """Where the client says what the bytes should be (RFC 9530), they must be that."""
    given = {
        part.partition("=")[0].strip(): part.partition("=")[2].strip() for part in request.headers.get("content-digest", "").split(",")
    }
    if (promised := given.get("sha-256")) and promised != f":{base64.b64encode(found).decode()}:":
        raise BadHeaderError("the bytes that came do not have the SHA-256 of Content-Digest; send the file again")


def _check(upload: Upload, settings: Settings) -> dict[str, Any]:
    limits = json.dumps({"bytes": settings.dataset_bytes, "seconds": settings.dataset_check_seconds})
    command = [sys.executable, "-m", "service.intake", str(upload.file), str(upload.folder), limits]
    environment = {name: os.environ[name] for name in _KEPT_FROM_US if name in os.environ}
    # One thread: each would reserve memory of its own, which is limited.
    environment |= {"PYTHONPATH": str(Path(__file__).parents[1]), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=settings.dataset_check_seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return _refused("too_slow", f"it took more than {settings.dataset_check_seconds:g} s to check; send fewer rows")
    if done.returncode != 0:
        # Whatever it was that broke the check, nobody should train on it.
        log.warning("the check of an upload broke", code=done.returncode, tail=done.stderr.decode(errors="replace")[-2000:])
        return _refused("unreadable", "it cannot be read within the limits of the check; send fewer or smaller rows, written anew")
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _refused(code: str, message: str) -> dict[str, Any]:
    return {"faults": [{"path": [], "code": code, "message": message}]}


def _too_large(most: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"a data set may have {most:,} bytes at most; send fewer rows, or compress them")


def _no_room(error: OSError) -> ArtifactsUnavailableError:
    what = "is full" if error.errno in {errno.ENOSPC, errno.EDQUOT} else f"cannot be used: {error.strerror or error}"
    return ArtifactsUnavailableError(f"the scratch folder {what}")

"""How a file arrives whole: in a part file that a later try goes on with, renamed once its SHA-256 is right."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx

from client.errors import ApiError, DownloadCorruptError
from client.wire import Json, Wire, backoff, refusal, retry_after

_CHUNK = 1 << 20


def fetch(wire: Wire, file: Json, target: Path) -> Path:
    """Bring `file` (`name`, `size_bytes`, `sha256`, `href`) to `target`, or into it where that is a folder; gives the path.

    Bytes already in the part file, from this try or an earlier one, are not asked for again. Raises DownloadCorruptError.
    """
    place = target / file["name"] if target.is_dir() else target
    place.parent.mkdir(parents=True, exist_ok=True)
    # Named by content: after `best` has moved on, nobody goes on with the bytes of the checkpoint before.
    part = place.with_name(f".{place.name}.{file['sha256'][:12]}.part")
    delays = backoff(wire.patience_seconds)
    while _size(part) != file["size_bytes"]:
        before = _size(part)
        try:
            _append(wire, file, part)
        except httpx.TransportError as error:
            if _size(part) > before:
                delays = backoff(wire.patience_seconds)
            wire.pause(delays, wire.unreachable(error))
        except _RefusedError as refused:
            wire.pause(delays, refused.error, refused.retry_after)
    _verify(part, file)
    part.replace(place)
    return place


class _RefusedError(Exception):
    def __init__(self, error: ApiError, retry_after: float | None) -> None:
        self.error = error
        self.retry_after = retry_after


def _append(wire: Wire, file: Json, part: Path) -> None:
    have = _size(part)
    if have > file["size_bytes"]:
        part.unlink()
        have = 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with wire.http.stream("GET", file["href"], headers=headers) as answer:
        if not answer.is_success:
            answer.read()
            raise _RefusedError(refusal(answer), retry_after(answer))
        # A server that ignores the range sends the file from its start.
        with part.open("ab" if answer.status_code == httpx.codes.PARTIAL_CONTENT else "wb") as out:
            # Pieces as they arrive: gathered into larger ones, the last would be lost with the connection.
            for piece in answer.iter_bytes():
                out.write(piece)
    if _size(part) == have:
        raise DownloadCorruptError(f"{file['name']} ends after {have} of {file['size_bytes']} bytes; the server's copy is not whole")


def _verify(part: Path, file: Json) -> None:
    digest = hashlib.sha256()
    for piece in _pieces(part):
        digest.update(piece)
    if digest.hexdigest() != file["sha256"]:
        part.unlink()
        raise DownloadCorruptError(
            f"{file['name']} arrived with SHA-256 {digest.hexdigest()} and should have {file['sha256']}; "
            "it was thrown away, so download it again"
        )


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while piece := stream.read(_CHUNK):
            yield piece


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0

"""How a file is sent: streamed from the disk, with its digest, so that the server knows whether all of it came."""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx

from client.wire import Json, Wire

# The server looks into the whole file before it answers, and that takes it a while.
_TIMEOUT: Final = httpx.Timeout(660.0, connect=5.0)


def send(wire: Wire, path: Path, name: str | None) -> Json:
    """The data set that the server makes of the file. It is read once for its digest, and once for each try. Raises OSError."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(path.stat().st_size),
        "Content-Digest": f"sha-256=:{base64.b64encode(digest).decode()}:",
    }
    # Harmless to repeat: the same content is the same data set.
    return wire.json("POST", "/v1/datasets", content=_File(path), headers=headers, params={"name": name or path.name}, timeout=_TIMEOUT)


class _File:
    """A file from its start, however often it is sent."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            while piece := file.read(1 << 18):
                yield piece

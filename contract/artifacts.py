"""Bytes under a key: where checkpoints live once they are whole."""

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from contract.errors import ArtifactCorruptError, ArtifactsUnavailableError, NotFoundError

_KEY = re.compile(r"[A-Za-z0-9_\-][A-Za-z0-9_.\-]*(/[A-Za-z0-9_\-][A-Za-z0-9_.\-]*)*")
_CHUNK = 1 << 20
_PART = ".part"
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})
"""What a file system answers that knows no hard links, as FAT and some that are mounted from another system."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a key holds: its size, and when it was stored (seconds since 1970)."""

    key: str
    size_bytes: int
    stored_at: float


class Artifacts(Protocol):
    """A place for bytes. Keys are relative paths; a key is either wholly there or not at all, and its bytes are never replaced.

    Every method raises ArtifactsUnavailableError where the place cannot be read or written.
    """

    def put(self, key: str, source: Path, sha256: str) -> Artifact:
        """Store a file under `key`; harmless to repeat.

        Raises ArtifactCorruptError, and stores nothing, if its bytes do not have `sha256`, or if the key holds other bytes already.
        """
        ...

    def read(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` up to but not with `end`, in pieces. Raises NotFoundError before the first piece."""
        ...

    def stat(self, key: str) -> Artifact:
        """What the key holds. Raises NotFoundError."""
        ...

    def list(self, prefix: str = "") -> Iterator[Artifact]:
        """Everything under a prefix of whole path parts."""
        ...

    def delete(self, prefix: str) -> None:
        """Remove the key, or everything under the prefix. Harmless where there is nothing."""
        ...

    def prune(self, older_than_seconds: float) -> None:
        """Remove what writers that were killed left half done, where it was last touched so long ago. No key is touched."""
        ...


class LocalFolder:
    """Artifacts in a folder. A file is copied beside its place, flushed, and given its name: a crash leaves it there whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, key: str, source: Path, sha256: str) -> Artifact:
        place = self._place(key)
        # Never a name that was there before: a crash can leave one that is a second name of bytes that are stored.
        part = place.with_name(f".{place.name}.{secrets.token_hex(8)}{_PART}")
        try:
            _make_folder(place.parent)
            with source.open("rb") as incoming, part.open("xb") as outgoing:
                found = _copy(incoming, outgoing)
            if found != sha256:
                raise ArtifactCorruptError(f"{source.name} has SHA-256 {found} and should have {sha256}; it was not stored")
            _name(part, place, key, sha256)
            _flush_folder(place.parent)
            return self.stat(key)
        except OSError as error:
            raise _unavailable(error) from error
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)

    def read(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        try:
            stream = self._place(key).open("rb")
        except FileNotFoundError:
            raise NotFoundError("artifact", key) from None
        except OSError as error:
            raise _unavailable(error) from error
        return _pieces(stream, start, end)

    def stat(self, key: str) -> Artifact:
        try:
            found = self._place(key).stat()
        except FileNotFoundError:
            raise NotFoundError("artifact", key) from None
        except OSError as error:
            raise _unavailable(error) from error
        return Artifact(key, found.st_size, found.st_mtime)

    def list(self, prefix: str = "") -> Iterator[Artifact]:
        root = self._place(prefix) if prefix else self.folder
        try:
            found = [path for path in sorted(root.rglob("*")) if path.is_file()]
        except OSError as error:
            raise _unavailable(error) from error
        for path in found:
            # What is no key of ours, we did not put there.
            if _KEY.fullmatch(path.relative_to(self.folder).as_posix()):
                with contextlib.suppress(NotFoundError):  # removed while we listed
                    yield self.stat(path.relative_to(self.folder).as_posix())

    def delete(self, prefix: str) -> None:
        place = self._place(prefix)
        try:
            if place.is_dir():
                shutil.rmtree(place)
            else:
                place.unlink(missing_ok=True)
        except OSError as error:
            raise _unavailable(error) from error
        self._drop_empty(place.parent)

    def prune(self, older_than_seconds: float) -> None:
        oldest = time.time() - older_than_seconds
        try:
            for part in self.folder.rglob(f".*{_PART}"):
                if part.stat().st_mtime < oldest:
                    part.unlink(missing_ok=True)
        except OSError as error:
            raise _unavailable(error) from error

    def _drop_empty(self, folder: Path) -> None:
        """Folders are no keys: one that holds nothing any more goes, and its parents with it."""
        with contextlib.suppress(OSError):  # not empty, or somebody is just writing into it
            while folder != self.folder:
                folder.rmdir()
                folder = folder.parent

    def _place(self, key: str) -> Path:
        assert_key(key)
        return self.folder / key


def assert_key(key: str) -> None:
    """Raises ValueError for what is no key, such as a path that leads elsewhere."""
    if not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} is no artifact key; parts of letters, digits, '_', '-' and '.', joined by '/'")


def assert_same(key: str, sha256: str, held: Iterable[bytes]) -> None:
    """A put that is repeated, as its answer was lost, finds its own bytes there. Raises ArtifactCorruptError for any others."""
    digest = hashlib.sha256()
    for piece in held:
        digest.update(piece)
    if digest.hexdigest() != sha256:
        raise ArtifactCorruptError(f"{key} holds other bytes already (SHA-256 {digest.hexdigest()}), and what is stored is never replaced")


def _make_folder(folder: Path) -> None:
    """With its parents. Each new name is flushed: a loss of power would take with it whatever lies below."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _flush_folder(folder.parent)


def _copy(incoming: IO[bytes], outgoing: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while piece := incoming.read(_CHUNK):
        digest.update(piece)
        outgoing.write(piece)
    outgoing.flush()
    os.fsync(outgoing.fileno())
    return digest.hexdigest()


def _name(part: Path, place: Path, key: str, sha256: str) -> None:
    """Give the bytes their place. A link, as a rename would take the place of what another has put there."""
    try:
        os.link(part, place)
    except FileExistsError:
        assert_same(key, sha256, _pieces(place.open("rb"), 0, None))
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # Two writers could still meet between look and rename; a checkpoint's key names its one writer's fence.
        if place.exists():
            assert_same(key, sha256, _pieces(place.open("rb"), 0, None))
        else:
            part.replace(place)


def _pieces(stream: IO[bytes], start: int, end: int | None) -> Iterator[bytes]:
    with stream:
        stream.seek(start)
        left = None if end is None else max(0, end - start)
        while left is None or left > 0:
            piece = stream.read(_CHUNK if left is None else min(_CHUNK, left))
            if not piece:
                return
            left = None if left is None else left - len(piece)
            yield piece


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unavailable(error: OSError) -> ArtifactsUnavailableError:
    return ArtifactsUnavailableError(f"the artifact store failed: {error.strerror or error}")

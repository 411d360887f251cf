"""How a few files become one folder that is on disk whole or not at all, and how it is known for whole later.

The files are written beside the target and flushed, `manifest.json` with the size and SHA-256 of each last; then the folder is
renamed and its parent flushed. A reader believes nothing that the manifest does not vouch for.
"""

import json
import os
import shutil
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from contract.events import File
from worker.training.faults import ArtifactCorruptError

_MANIFEST = "manifest.json"
_HINT = "Resume from an earlier checkpoint, or start the job anew."


def write(target: Path, contents: Mapping[str, bytes]) -> tuple[File, ...]:
    """Writes `contents` by name into the new folder `target`. Returns its files, the manifest last. Raises OSError."""
    draft = target.with_name(f"{target.name}.tmp")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        files = [_write(draft / name, content) for name, content in contents.items()]
        manifest = json.dumps({"format": 1, "files": [file.model_dump() for file in files]}, indent=1).encode()
        files.append(_write(draft / _MANIFEST, manifest))
        _flush(draft)
        draft.rename(target)
        _flush(target.parent)
    except OSError:
        # On a full disk the half-written draft is what is in the way.
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return tuple(files)


def read(source: Path) -> dict[str, bytes]:
    """The content of each file by name. Raises ArtifactCorruptError at the first byte that is not as the manifest says, and OSError
    where a file that is there cannot be read, which says nothing of its bytes."""
    contents: dict[str, bytes] = {}
    for file in _manifest(source):
        try:
            content = (source / file.name).read_bytes()
        except FileNotFoundError as error:
            raise ArtifactCorruptError(f"the checkpoint's file {file.name} is not there", _HINT) from error
        if len(content) != file.size_bytes:
            raise ArtifactCorruptError(f"{file.name} has {len(content):,} bytes and its manifest says {file.size_bytes:,}", _HINT)
        if (found := sha256(content).hexdigest()) != file.sha256:
            raise ArtifactCorruptError(f"{file.name} has sha256 {found[:12]}… and its manifest says {file.sha256[:12]}…", _HINT)
        contents[file.name] = content
    return contents


def _write(path: Path, content: bytes) -> File:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return File(name=path.name, size_bytes=len(content), sha256=sha256(content).hexdigest())


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _manifest(source: Path) -> list[File]:
    try:
        said: Any = json.loads((source / _MANIFEST).read_bytes())
        return [File.model_validate(file) for file in said["files"]]
    except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
        raise ArtifactCorruptError(f"the checkpoint's {_MANIFEST} cannot be read ({error})", _HINT) from error

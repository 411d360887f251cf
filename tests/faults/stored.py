"""Whether the bytes of every checkpoint that is kept are those that were promised.

`bytes` a file is missing, or has another size or SHA-256 than its row says · `manifest` the checkpoint's own list of files is
missing, or says otherwise. Written without the trainer's code, so that a fault there cannot hide itself here.
"""

import json
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from tests.up import Json

_MANIFEST = "manifest.json"


def faults(job_id: str, checkpoints: Sequence[Json], artifacts: Path) -> Iterator[str]:
    """What is wrong with the checkpoints of a job that are kept; those let go of may have bytes or not."""
    for checkpoint in checkpoints:
        if checkpoint["deleted_at"] is None:
            where = f"checkpoint {checkpoint['seq']} of {job_id}"
            folder = artifacts / checkpoint["prefix"]
            yield from (f"bytes: {where}: {fault}" for file in checkpoint["files"] for fault in _differs(folder, file))
            yield from (f"manifest: {where}: {fault}" for fault in _manifest(folder, checkpoint["files"]))


def _differs(folder: Path, file: Json) -> Iterator[str]:
    try:
        content = (folder / file["name"]).read_bytes()
    except OSError as error:
        yield f"{file['name']} cannot be read: {error.strerror}"
        return
    if len(content) != file["size_bytes"]:
        yield f"{file['name']} has {len(content)} bytes and should have {file['size_bytes']}"
    elif (found := sha256(content).hexdigest()) != file["sha256"]:
        yield f"{file['name']} has SHA-256 {found} and should have {file['sha256']}"


def _manifest(folder: Path, files: Sequence[Json]) -> Iterator[str]:
    try:
        listed = {file["name"]: file for file in json.loads((folder / _MANIFEST).read_bytes())["files"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield f"it cannot be read: {error}"
        return
    rows = {file["name"]: file for file in files if file["name"] != _MANIFEST}
    if listed.keys() != rows.keys():
        yield f"it lists {sorted(listed)}, and the row {sorted(rows)}"
    yield from (
        f"it says {listed[name]} of {name}, and the row {rows[name]}" for name in listed.keys() & rows.keys() if listed[name] != rows[name]
    )
    yield from (fault for file in listed.values() for fault in _differs(folder, file))

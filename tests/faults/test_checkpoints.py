"""A checkpoint is there whole or not at all whatever happens to whom it passes through, and bad bytes never load."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from contract import artifacts
from contract.events import File
from tests.faults.torture import torture
from worker.training import folder

pytestmark = pytest.mark.storm

SEED = 20261122


def test_whatever_call_fails_and_whatever_rots_a_job_resumes_to_the_bit_or_falls_back() -> None:
    report = torture(300, SEED)

    report.assert_kept()
    assert report.faults == 300
    assert all(report.counts[kind] for kind in ("kill", "torn", "power", "full", "rot"))


def _manifest_first(target: Path, contents: Mapping[str, bytes]) -> tuple[File, ...]:
    draft = target.with_name(f"{target.name}.tmp")
    draft.mkdir(parents=True, exist_ok=True)
    files = [File(name=name, size_bytes=len(content), sha256=folder.sha256(content).hexdigest()) for name, content in contents.items()]
    manifest = json.dumps({"format": 1, "files": [file.model_dump() for file in files]}, indent=1).encode()
    files.append(folder._write(draft / "manifest.json", manifest))
    for name, content in contents.items():
        folder._write(draft / name, content)
    folder._flush(draft)
    draft.rename(target)
    folder._flush(target.parent)
    return tuple(files)


def _believe_everything(source: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in source.iterdir() if path.name != "manifest.json"}


def _write_without_flush(path: Path, content: bytes) -> File:
    path.write_bytes(content)
    return File(name=path.name, size_bytes=len(content), sha256=folder.sha256(content).hexdigest())


def _write_in_place(self: artifacts.LocalFolder, key: str, source: Path, sha256: str) -> artifacts.Artifact:
    place = self._place(key)
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("wb") as stream:
        stream.write(source.read_bytes())
        os.fsync(stream.fileno())
    return self.stat(key)


MUTANTS: dict[str, tuple[Any, str, Any, str, str]] = {
    "manifest_first": (folder, "write", _manifest_first, "write", "vouches for what is not there"),
    "no_verification": (folder, "read", _believe_everything, "rot", "bad bytes were loaded"),
    "no_flush_of_a_file": (folder, "_write", _write_without_flush, "write", "newer is refused"),
    "no_flush_of_a_folder": (folder, "_flush", lambda _: None, "write", "what was written is gone"),
    "no_flush_of_a_stored_folder": (artifacts, "_flush_folder", lambda _: None, "put", "neither whole nor away"),
    "stored_in_place": (artifacts.LocalFolder, "put", _write_in_place, "put", "neither whole nor away"),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_torture_catches_a_program_that_writes_or_reads_carelessly(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, name, careless, deed, breach = MUTANTS[mutant]
    monkeypatch.setattr(place, name, careless)

    report = torture(300, SEED, only=deed)

    assert any(breach in violation for violation in report.violations), report.violations[:5]

"""Which uploaded data sets lie on this machine: each by the digest of its content, the ones used last, within a bound."""

import contextlib
import hashlib
import os
import shutil
import time
from pathlib import Path
from typing import Final

from contract.artifacts import Artifacts
from contract.errors import ArtifactCorruptError, ArtifactsUnavailableError, NotFoundError, RidgelineError
from contract.events import File
from contract.job import Job
from contract.store import Store, datasets
from contract.store.datasets import Dataset

FOLDER: Final = "datasets"
"""Below the scratch folder."""
SPARED_SECONDS: Final = 600.0
"""A set used so lately may just be read by the trainer of another worker here."""


class DatasetGoneError(RidgelineError):
    """The data set that the job names is there no more."""

    code = "dataset_gone"


def named(store: Store, job: Job) -> Dataset | None:
    """The uploaded set that the job trains on, its tenant's; None for one on other data. Raises DatasetGoneError."""
    dataset = job.spec["dataset"]
    if dataset["kind"] != "uploaded":
        return None
    try:
        return datasets.get(store, job.tenant, dataset["id"])
    except NotFoundError:
        raise DatasetGoneError(f"data set {dataset['id']} was deleted") from None


def bring(artifacts: Artifacts, dataset: Dataset, scratch: Path, most_bytes: int) -> Path:
    """The folder with the set's files, every byte verified: the one that is here already, or one fetched now.

    What was used longest ago goes until no more than `most_bytes` are kept. Raises ArtifactCorruptError where the stored bytes are
    not those of the row, ArtifactsUnavailableError where they are not there, and OSError.
    """
    folder = scratch / FOLDER / dataset.sha256
    if not _is_whole(folder, dataset.files):
        shutil.rmtree(folder, ignore_errors=True)
        _make_room(folder.parent, most_bytes - dataset.size_bytes)
        _fetch(artifacts, dataset, folder)
    os.utime(folder)
    return folder


def _is_whole(folder: Path, files: tuple[File, ...]) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return all(_sha256(folder / file.name) == file.sha256 for file in files)
    return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _make_room(root: Path, most_bytes: int) -> None:
    """Remove the sets used longest ago until `most_bytes` are left, but none that was used just now."""
    root.mkdir(parents=True, exist_ok=True)
    kept = sorted((left.stat().st_mtime, left) for left in root.iterdir())
    sizes = {left: sum(path.stat().st_size for path in left.iterdir()) for _, left in kept}
    total = sum(sizes.values())
    for used_at, left in kept:
        if total > most_bytes and used_at < time.time() - SPARED_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
            total -= sizes[left]


def _fetch(artifacts: Artifacts, dataset: Dataset, folder: Path) -> None:
    """Beside its place first: another worker on this machine sees it whole or not at all."""
    draft = folder.with_name(f".{folder.name}-{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        for file in dataset.files:
            _fetch_file(artifacts, f"{dataset.prefix}/{file.name}", draft / file.name, file.sha256)
        with contextlib.suppress(OSError):  # another worker was first, with the same bytes
            draft.rename(folder)
    except NotFoundError as error:
        raise ArtifactsUnavailableError(f"the bytes of data set {dataset.id} are not in the artifact store; is it mounted?") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _fetch_file(artifacts: Artifacts, key: str, target: Path, sha256: str) -> None:
    digest = hashlib.sha256()
    with target.open("xb") as file:
        for piece in artifacts.read(key):
            digest.update(piece)
            file.write(piece)
    if digest.hexdigest() != sha256:
        raise ArtifactCorruptError(f"{key} has SHA-256 {digest.hexdigest()} and was stored with {sha256}")

"""How a checkpoint travels between the trainer's scratch folder and the artifact store."""

import contextlib
import hashlib
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from contract.artifacts import Artifacts
from contract.errors import ArtifactCorruptError, ArtifactsUnavailableError, NotFoundError
from contract.events import CheckpointWritten
from contract.job import Job
from contract.store.checkpoints import Checkpoint, Draft
from contract.store.leases import Lease

WEIGHTS: Final = "model.safetensors"


def clear_scratch(scratch: Path, job: Job, older_than_seconds: float) -> None:
    """Remove what attempts left that were killed here: those of this job under lower fences, and any that nothing has touched for long.

    It is gigabytes for a large network, and nobody else removes it.
    """
    oldest = time.time() - older_than_seconds
    for left in scratch.glob("job_*-*"):
        name, _, fence = left.name.rpartition("-")
        is_ours = name == job.id and fence.isdecimal() and int(fence) < job.fence
        with contextlib.suppress(OSError):
            if is_ours or max(path.stat().st_mtime for path in (left, *left.rglob("*"))) < oldest:
                shutil.rmtree(left, ignore_errors=True)


def upload(artifacts: Artifacts, lease: Lease, scratch: Path, written: CheckpointWritten) -> Draft:
    """Store a checkpoint's files under a key of this lease alone, so that a stale owner can never overwrite a live one's.

    Raises ArtifactsUnavailableError, or ArtifactCorruptError where the bytes are not those the trainer vouched for.
    """
    folder = scratch / written.folder
    prefix = f"{lease.job_id}/{lease.fence}/{folder.name}"
    for file in written.files:
        artifacts.put(f"{prefix}/{file.name}", folder / file.name, file.sha256)
    shutil.rmtree(folder, ignore_errors=True)
    return Draft(written.epoch, written.step, dict(written.metrics), written.interim, prefix, written.files)


def fetch_newest(artifacts: Artifacts, job: Job, kept: Sequence[Checkpoint], scratch: Path) -> tuple[Path | None, list[str]]:
    """The folder of the newest checkpoint that is whole, and a sentence for each newer one that is not.

    Returns None for a job that has no checkpoint yet. Raises ArtifactCorruptError where there are some and none is whole,
    ArtifactsUnavailableError where none of them is even there.
    """
    broken: list[str] = []
    missing = 0
    for checkpoint in sorted(kept, key=lambda one: one.seq, reverse=True):
        try:
            return _fetch(artifacts, checkpoint, scratch / f"resume-{checkpoint.seq}"), broken
        except (ArtifactCorruptError, NotFoundError) as error:
            missing += isinstance(error, NotFoundError)
            broken.append(f"checkpoint {checkpoint.id} after step {checkpoint.step} cannot be used: {error}")
    if broken and missing == len(broken):
        # Bytes rot one by one; that all are gone at once means that the store is not where it was.
        raise ArtifactsUnavailableError(
            f"none of the {missing} checkpoints of {job.id} is whole in the artifact store; is it mounted? "
            "If they are lost for good, cancel the job and retry it from its start"
        )
    if broken:
        raise ArtifactCorruptError(f"no stored checkpoint of {job.id} is whole: {'; '.join(broken)}")
    return None, broken


def fetch_weights(artifacts: Artifacts, checkpoint: Checkpoint, folder: Path) -> Path:
    """The file of the checkpoint's weights alone. Raises ArtifactCorruptError, or ArtifactsUnavailableError where it is not there."""
    try:
        return _fetch(artifacts, checkpoint, folder, only=WEIGHTS) / WEIGHTS
    except NotFoundError as error:
        raise ArtifactsUnavailableError(f"the weights of checkpoint {checkpoint.id} are not in the artifact store: {error}") from error


def _fetch(artifacts: Artifacts, checkpoint: Checkpoint, folder: Path, only: str | None = None) -> Path:
    folder.mkdir(parents=True)
    for file in checkpoint.files:
        if only not in {None, file.name}:
            continue
        digest = hashlib.sha256()
        with (folder / file.name).open("wb") as target:
            for piece in artifacts.read(f"{checkpoint.prefix}/{file.name}"):
                digest.update(piece)
                target.write(piece)
        if digest.hexdigest() != file.sha256:
            raise ArtifactCorruptError(f"{file.name} has SHA-256 {digest.hexdigest()} and was stored with {file.sha256}")
    return folder

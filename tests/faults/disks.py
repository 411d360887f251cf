"""Disks so small that they can be filled: what becomes of a job whose checkpoint finds no space."""

import contextlib
import errno
import hashlib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import update

from contract.job import JobState
from contract.store import checkpoints, tables
from tests.faults import poison
from tests.faults.rig import Rig
from tests.up import LONG

_SIZE: Final = "64m"
_FILLER: Final = "filler"


@contextmanager
def small(*folders: Path) -> Iterator[bool]:
    """Puts a disk of 64 MiB under each folder; False where this user may not mount one."""
    with contextlib.ExitStack() as mounts:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            mount = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(folder)]
            try:
                subprocess.run(mount, check=True, capture_output=True)
            except (OSError, subprocess.CalledProcessError):
                yield False
                return
            # Lazily: what still has a file open there does not keep the mount in sight.
            mounts.callback(subprocess.run, ["umount", "-l", str(folder)], check=True)
        yield True


def violations(rig: Rig, disk: Path, reason: str) -> list[str]:
    """What goes wrong with a job when the disk under `disk` fills up; it must wait for that `reason` and go on once there is space."""
    job_id = str(rig.up.submit(LONG)["id"])
    rig.until(lambda: poison.row(rig, job_id).checkpoint_seq > 0, f"a checkpoint of {job_id}")
    _fill(disk)
    rig.until(lambda: poison.row(rig, job_id).state is JobState.QUEUED, f"{job_id} to be released")
    waiting = poison.row(rig, job_id)
    found = [*_wrong(rig, job_id), *([] if reason in (waiting.status_reason or "") else [f"it waits since {waiting.status_reason!r}"])]
    if waiting.crash_count or not waiting.available_at > waiting.updated_at:
        found.append(f"it crashed {waiting.crash_count} times and waits until {waiting.available_at}, from {waiting.updated_at}")
    (disk / _FILLER).unlink()
    with rig.store.write() as connection:
        connection.execute(update(tables.jobs).where(tables.jobs.c.id == job_id).values(available_at=0.0))
    rig.until(lambda: poison.row(rig, job_id).checkpoint_seq > waiting.checkpoint_seq, f"{job_id} to go on")
    rig.up.http.post(f"/v1/jobs/{job_id}/cancel")
    rig.until(lambda: poison.row(rig, job_id).is_terminal, f"the end of {job_id}")
    return found + _wrong(rig, job_id)


def _fill(disk: Path) -> None:
    with (disk / _FILLER).open("ab", buffering=0) as filler:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while filler.write(bytes(size)) == size:
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


def _wrong(rig: Rig, job_id: str) -> list[str]:
    """Kept checkpoints that are not whole, and files that were begun and never ended."""
    found = [f"a half file {file}" for file in (rig.artifacts / job_id).rglob("*.part")]
    kept = checkpoints.listed(rig.store, poison.row(rig, job_id))
    for checkpoint in kept:
        for file in checkpoint.files:
            content = (rig.artifacts / checkpoint.prefix / file.name).read_bytes()
            if hashlib.sha256(content).hexdigest() != file.sha256:
                found.append(f"{file.name} of checkpoint {checkpoint.seq} is not whole")
    return found if kept else [*found, "no checkpoint is kept"]

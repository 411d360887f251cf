"""Uploaded data sets are brought to a worker whole, once, and as many as fit."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from contract.artifacts import LocalFolder
from contract.errors import ArtifactCorruptError, ArtifactsUnavailableError
from contract.events import File
from contract.store.datasets import Dataset
from worker import cache

BODY = b"0123456789" * 10


@pytest.fixture
def artifacts(tmp_path: Path) -> LocalFolder:
    return LocalFolder(tmp_path / "artifacts")


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return tmp_path / "scratch"


def made(artifacts: LocalFolder, number: int) -> Dataset:
    source = artifacts.folder.with_name("source")
    source.write_bytes(BODY)
    sha256 = hashlib.sha256(BODY).hexdigest()
    prefix = f"datasets/t/{number:064}/ds_{number}"
    artifacts.put(f"{prefix}/x_train.npy", source, sha256)
    file = File(name="x_train.npy", size_bytes=len(BODY), sha256=sha256)
    return Dataset(f"ds_{number}", "t", "n", "npz", f"{number:064}", "ready", {}, prefix, (file,), len(BODY), 0.0)


def test_a_set_is_fetched_once_and_lies_there_whole(artifacts: LocalFolder, scratch: Path) -> None:
    dataset = made(artifacts, 1)
    folder = cache.bring(artifacts, dataset, scratch, 1000)
    artifacts.delete(dataset.prefix)
    assert cache.bring(artifacts, dataset, scratch, 1000) == folder
    assert (folder / "x_train.npy").read_bytes() == BODY
    assert [path.name for path in folder.parent.iterdir()] == [dataset.sha256]


def test_bytes_that_rotted_here_are_fetched_anew(artifacts: LocalFolder, scratch: Path) -> None:
    dataset = made(artifacts, 1)
    (cache.bring(artifacts, dataset, scratch, 1000) / "x_train.npy").write_bytes(BODY[:-1] + b"!")
    assert (cache.bring(artifacts, dataset, scratch, 1000) / "x_train.npy").read_bytes() == BODY


def test_bytes_that_rotted_in_the_store_are_refused_and_leave_nothing(artifacts: LocalFolder, scratch: Path) -> None:
    dataset = made(artifacts, 1)
    (artifacts.folder / dataset.prefix / "x_train.npy").write_bytes(BODY[:-1] + b"!")
    with pytest.raises(ArtifactCorruptError):
        cache.bring(artifacts, dataset, scratch, 1000)
    assert list((scratch / cache.FOLDER).iterdir()) == []


def test_a_store_without_the_bytes_is_one_that_is_down(artifacts: LocalFolder, scratch: Path) -> None:
    dataset = made(artifacts, 1)
    artifacts.delete(dataset.prefix)
    with pytest.raises(ArtifactsUnavailableError, match="mounted"):
        cache.bring(artifacts, dataset, scratch, 1000)


def test_the_set_used_longest_ago_makes_room_and_one_used_just_now_stays(artifacts: LocalFolder, scratch: Path) -> None:
    sets = [made(artifacts, number) for number in range(4)]
    folders = [cache.bring(artifacts, dataset, scratch, 1000) for dataset in sets[:3]]
    now = time.time()
    for folder, age in zip(folders, (cache.SPARED_SECONDS + 10, cache.SPARED_SECONDS + 20, 5), strict=True):
        os.utime(folder, (now - age, now - age))
    last = cache.bring(artifacts, sets[3], scratch, 3 * len(BODY))
    assert [folder.exists() for folder in (*folders, last)] == [True, False, True, True]
    cache.bring(artifacts, sets[1], scratch, 1)
    assert [folder.exists() for folder in (*folders, last)] == [False, True, True, True]

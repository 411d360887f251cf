"""Whose bytes are removed from the artifact store, and that nobody waits for it."""

import hashlib
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from contract.artifacts import LocalFolder
from contract.job import JobState
from contract.spec import JobSpec
from contract.store import Store, checkpoints, jobs
from service import garbage
from service.reconciler import Reconciler

OLD = 1.0


def put(artifacts: LocalFolder, source: Path, key: str, at: float = OLD) -> None:
    source.write_bytes(b"x")
    artifacts.put(key, source, hashlib.sha256(b"x").hexdigest())
    os.utime(artifacts.folder / key, (at, at))


def submitted(store: Store) -> str:
    return jobs.submit(store, "default", JobSpec.model_validate({"dataset": {"kind": "fake"}})).job.id


def test_what_another_database_or_somebody_else_keeps_there_is_left(sqlite_store: Store, hands: Any, tmp_path: Path) -> None:
    ours = submitted(sqlite_store)
    for key in (
        "job_01of0another0database/1/step-1/state.json",
        "photos/a.jpg",
        "thesis.tar",
        "a/b/c/d/e.txt",
        f"{ours}/note.txt",
        f"{ours}/2/step-1/deeper/file",
    ):
        put(hands.artifacts, tmp_path / "source", key)
    put(hands.artifacts, tmp_path / "source", f"{ours}/1/step-1/state.json")
    put(hands.artifacts, tmp_path / "source", "_ready/probe")
    assert garbage.find(sqlite_store, hands.artifacts, 3600) == ["_ready/probe", f"{ours}/1/step-1"]


@pytest.mark.parametrize("newest", ["a", "b", "c"])
def test_a_checkpoint_is_as_old_as_the_newest_of_its_files(sqlite_store: Store, hands: Any, tmp_path: Path, newest: str) -> None:
    """The others may have been there for long: one of many gigabytes is still under way."""
    ours = submitted(sqlite_store)
    for name in "abc":
        put(hands.artifacts, tmp_path / "source", f"{ours}/1/step-1/{name}", time.time() if name == newest else OLD)
        put(hands.artifacts, tmp_path / "source", f"_ready/{name}", time.time() if name == newest else OLD)
    assert garbage.find(sqlite_store, hands.artifacts, 3600) == [f"_ready/{name}" for name in "abc" if name != newest]
    assert f"{ours}/1/step-1" in garbage.find(sqlite_store, hands.artifacts, -60)


def test_a_checkpoint_that_a_row_names_is_no_garbage_until_it_is_purged(sqlite_store: Store, hands: Any) -> None:
    lease = hands.claim(submitted(sqlite_store))
    for epoch, loss in enumerate((1.0, 0.1, 0.5, 0.6, 0.7), start=1):
        hands.checkpoint(lease, epoch, loss)
    assert garbage.find(sqlite_store, hands.artifacts, -60) == []
    for checkpoint_id, _ in (waiting := checkpoints.to_purge(sqlite_store)):
        checkpoints.purged(sqlite_store, checkpoint_id)
    assert garbage.find(sqlite_store, hands.artifacts, -60) == sorted(prefix for _, prefix in waiting) != []


def test_files_that_are_no_keys_are_passed_over(hands: Any, tmp_path: Path) -> None:
    put(hands.artifacts, tmp_path / "source", "job/1/step-1/state.json")
    (hands.artifacts.folder / "a letter.txt").write_text("dear")
    assert [found.key for found in hands.artifacts.list()] == ["job/1/step-1/state.json"]


def test_an_artifact_store_that_hangs_keeps_no_job_from_being_taken_from_a_dead_worker(
    sqlite_store: Store, hands: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging, released = threading.Event(), threading.Event()

    def hang(*_: object) -> None:
        hanging.set()
        released.wait(60)

    monkeypatch.setattr(LocalFolder, "prune", hang)
    stopping, moved = threading.Event(), threading.Event()
    reconciler = Reconciler(sqlite_store, hands.artifacts, lambda _: moved.set(), lease_seconds=0.1, every_seconds=0.02, stopping=stopping)
    job_id = submitted(sqlite_store)
    hands.lapse(hands.claim(job_id))
    reconciler.start()
    try:
        assert hanging.wait(20)
        assert moved.wait(20)  # its bell is rung once it waits again
        assert jobs.get(sqlite_store, "default", job_id).state is JobState.QUEUED
    finally:
        stopping.set()
        released.set()
        reconciler.join(20)


def test_checkpoints_that_cannot_be_removed_do_not_stand_before_the_others(sqlite_store: Store, hands: Any) -> None:
    lease = hands.claim(submitted(sqlite_store))
    for epoch in range(1, 13):
        hands.checkpoint(lease, epoch, float(epoch))
    # As if the first ones were stuck: they stay to be purged however often one looks.
    seen = {checkpoint_id for _ in range(60) for checkpoint_id, _ in checkpoints.to_purge(sqlite_store, limit=2)}
    assert len(seen) == 9

"""What the reconciler sets right, and what it does while the database is away."""

import hashlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import text, update
from structlog.testing import CapturingLogger

from contract.artifacts import LocalFolder
from contract.errors import ArtifactsUnavailableError
from contract.job import JobState
from contract.spec import JobSpec
from contract.store import Store, checkpoints, jobs, tables
from service import reconciler
from service.bell import Bell
from service.reconciler import Reconciler

LEASE = 60.0


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Rig:
    """A reconciler on a real store, whose clock and bell the test holds."""

    def __init__(self, store: Store, artifacts: LocalFolder) -> None:
        self.store, self.clock, self.rung, self.stopping = store, Clock(), [], threading.Event()
        self.reconciler = Reconciler(
            store, artifacts, self.rung.append, lease_seconds=LEASE, every_seconds=0.01, stopping=self.stopping, clock=self.clock
        )

    def submit(self) -> str:
        return jobs.submit(self.store, "default", JobSpec.model_validate({"dataset": {"kind": "fake"}})).job.id

    def change(self, job_id: str, **columns: object) -> None:
        with self.store.write() as connection:
            connection.execute(update(tables.jobs).where(tables.jobs.c.id == job_id).values(**columns))

    def state(self, job_id: str) -> JobState:
        return jobs.get(self.store, "default", job_id).state

    def rename(self, table: str, name: str) -> None:
        with self.store.write() as connection:
            connection.execute(text(f"ALTER TABLE {table} RENAME TO {name}"))


@pytest.fixture
def rig(sqlite_store: Store, hands) -> Rig:
    return Rig(sqlite_store, hands.artifacts)


def test_a_job_whose_worker_fell_silent_waits_again(rig: Rig, hands) -> None:
    job_id = rig.submit()
    hands.lapse(hands.claim(job_id))
    rig.reconciler.round()
    assert rig.state(job_id) is JobState.QUEUED


def test_a_job_that_nobody_took_in_time_fails(rig: Rig) -> None:
    job_id = rig.submit()
    rig.change(job_id, queue_deadline_at=1.0)
    rig.reconciler.round()
    assert rig.state(job_id) is JobState.FAILED


def test_a_job_that_nobody_heard_of_is_rung_again_once(rig: Rig) -> None:
    job_id = rig.submit()
    rig.reconciler.round()
    assert rig.rung == []
    rig.change(job_id, next_ring_at=1.0)
    rig.reconciler.round()
    rig.reconciler.round()
    assert rig.rung == [job_id]


def test_checkpoints_that_are_not_kept_lose_their_bytes(rig: Rig, hands) -> None:
    lease = hands.claim(rig.submit())
    for epoch in range(1, 5):
        hands.checkpoint(lease, epoch, float(epoch))
    rig.reconciler.round()
    assert {Path(found.key).parent.name for found in hands.artifacts.list()} == {"1", "3", "4"}
    assert checkpoints.to_purge(rig.store) == []


def test_bytes_that_cannot_be_removed_keep_no_others(rig: Rig, hands, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = hands.claim(rig.submit())
    for epoch in range(1, 6):
        hands.checkpoint(lease, epoch, float(epoch))
    stuck = checkpoints.to_purge(rig.store)[0]
    remove = LocalFolder.delete

    def delete(place: LocalFolder, prefix: str) -> None:
        if prefix == stuck[1]:
            raise ArtifactsUnavailableError("read-only")
        remove(place, prefix)

    monkeypatch.setattr(LocalFolder, "delete", delete)
    rig.reconciler.round()
    assert checkpoints.to_purge(rig.store) == [stuck]


def test_after_an_outage_every_worker_is_given_a_whole_lease(rig: Rig, hands) -> None:
    job_id = rig.submit()
    hands.lapse(hands.claim(job_id))
    rig.rename("jobs", "away")
    rig.reconciler.round()
    rig.rename("away", "jobs")
    rig.clock.now += LEASE - 1
    rig.reconciler.round()
    assert rig.state(job_id) is JobState.RUNNING
    rig.clock.now += 1
    rig.reconciler.round()
    assert rig.state(job_id) is JobState.QUEUED


def test_a_deed_that_fails_hinders_no_other_and_is_told_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    # Of its own, not caught on the way to the process's: how that one is set up is for other tests to change.
    log = CapturingLogger()
    monkeypatch.setattr(reconciler, "log", log)

    def told() -> list[str]:
        return [call.kwargs["deed"] for call in log.calls if call.method_name == "error"]

    job_id = rig.submit()
    rig.change(job_id, next_ring_at=1.0)
    rig.rename("checkpoints", "away")
    for _ in range(3):
        rig.reconciler.round()
    assert rig.rung == [job_id]
    reading = told()
    assert len(reading) == 2, reading  # those that read checkpoints
    rig.rename("away", "checkpoints")
    rig.reconciler.round()
    rig.rename("checkpoints", "away")
    rig.reconciler.round()
    assert told() == reading * 2


def test_the_loop_ends_when_the_service_does(rig: Rig) -> None:
    job_id = rig.submit()
    rig.change(job_id, next_ring_at=1.0)
    came = threading.Event()
    rig.reconciler._ring = lambda _: came.set()
    rig.reconciler.start()
    assert came.wait(30)
    rig.stopping.set()
    rig.reconciler.join(30)
    assert not any(thread.is_alive() for thread in rig.reconciler._threads)


def test_the_bell_goes_on_after_a_ring_that_failed() -> None:
    heard: list[str] = []
    failed, both = threading.Event(), threading.Event()

    def pull(job_ids: Sequence[str]) -> None:
        heard.extend(job_ids)
        if not failed.is_set():
            failed.set()
            raise RuntimeError("no broker")
        both.set()

    bell = Bell(pull)
    bell.start()
    bell.ring("first")
    assert failed.wait(30)
    bell.ring("second")
    assert both.wait(30)
    bell.stop()
    assert heard == ["first", "second"]


def test_what_is_submitted_during_a_ring_is_rung_for_together_and_no_oftener_than_there_are_workers() -> None:
    rung: list[list[str]] = []
    under_way, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def pull(job_ids: Sequence[str]) -> None:
        rung.append([*job_ids])
        (done if under_way.is_set() else under_way).set()
        assert go_on.wait(30)

    bell = Bell(pull, workers=lambda: 3)
    bell.start()
    bell.ring("first")
    assert under_way.wait(30)
    for index in range(9):
        bell.ring(f"job {index}")
    go_on.set()
    assert done.wait(30)
    bell.stop()
    assert rung == [["first"], ["job 0", "job 1", "job 2"]]


def test_a_burst_is_rung_for_where_no_worker_was_seen_yet() -> None:
    rung, done = [], threading.Event()
    bell = Bell(lambda job_ids: (rung.extend(job_ids), done.set()), workers=lambda: 0)
    for index in range(3):
        bell.ring(f"job {index}")
    bell.start()
    assert done.wait(30)
    bell.stop()
    assert rung == ["job 0"]


def test_ringing_returns_while_the_broker_hangs_and_more_wait_than_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.bell.MAX_WAITING", 2)
    began, hang = threading.Event(), threading.Event()
    bell = Bell(lambda _: (began.set(), hang.wait(30)))
    bell.start()
    bell.ring("hangs")
    assert began.wait(30)
    for index in range(9):
        bell.ring(f"job {index}")
    hang.set()
    bell.stop()


def test_bytes_that_no_row_names_are_removed_once_no_upload_of_them_can_be_under_way(rig: Rig, hands, tmp_path: Path) -> None:
    lease = hands.claim(rig.submit())
    hands.checkpoint(lease, 1, 1.0)
    artifacts = hands.artifacts
    source = tmp_path / "orphan"
    source.write_bytes(b"x")
    for folder in ("step-2", "step-3"):
        artifacts.put(f"{lease.job_id}/{lease.fence}/{folder}/state.json", source, hashlib.sha256(b"x").hexdigest())
    artifacts.put("_ready/probe", source, hashlib.sha256(b"x").hexdigest())
    part = artifacts.folder / lease.job_id / ".model.1.part"
    part.write_bytes(b"half")
    for path in (part, *artifacts.folder.rglob("*")):
        if path.is_file() and "step-3" not in str(path):
            os.utime(path, (1.0, 1.0))
    rig.reconciler.round()
    left = {found.key for found in artifacts.list()}
    assert left == {f"{lease.job_id}/1/1/model.safetensors", f"{lease.job_id}/1/step-3/state.json"}
    assert not part.exists()
    assert not (artifacts.folder / "_ready").exists()


def test_an_upload_that_goes_on_for_long_loses_nothing_of_what_it_stored_first(rig: Rig, hands, tmp_path: Path) -> None:
    lease = hands.claim(rig.submit())
    source = tmp_path / "part"
    source.write_bytes(b"x")
    keys = [f"{lease.job_id}/{lease.fence}/step-2/{name}" for name in ("model.safetensors", "state.json", "trainer.safetensors")]
    for key in keys:
        hands.artifacts.put(key, source, hashlib.sha256(b"x").hexdigest())
    for old in (keys[0], keys[2]):  # whichever is listed first
        os.utime(hands.artifacts.folder / old, (1.0, 1.0))
    rig.reconciler.round()
    assert [found.key for found in hands.artifacts.list()] == keys


def test_garbage_is_looked_for_now_and_then_not_in_each_round(rig: Rig, hands, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    monkeypatch.setattr(LocalFolder, "prune", lambda *_: looked.append("looked"))
    for _ in range(5):
        rig.reconciler.round()
    assert len(looked) == 1
    rig.clock.now += 601.0
    rig.reconciler.round()
    assert len(looked) == 2


def test_bytes_that_wait_to_be_purged_are_no_garbage_and_are_removed_once(rig: Rig, hands) -> None:
    lease = hands.claim(rig.submit())
    hands.checkpoint(lease, 1, 1.0)
    (row,) = checkpoints.listed(rig.store, jobs.get(rig.store, "default", lease.job_id))
    other = f"{lease.job_id}/1/other"
    assert checkpoints.unnamed(rig.store, [row.prefix, other]) == [other]
    with rig.store.write() as connection:
        connection.execute(update(tables.checkpoints).values(deleted_at=1.0))
    assert checkpoints.unnamed(rig.store, [row.prefix]) == []
    checkpoints.purged(rig.store, row.id)
    assert checkpoints.unnamed(rig.store, [row.prefix]) == [row.prefix]

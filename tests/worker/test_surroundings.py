"""What a worker does when what lies around it hangs, fails or is left over: the artifact store, the scratch folder, the database."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from contract import lifecycle
from contract.errors import ArtifactsUnavailableError, StoreUnavailableError
from contract.job import Job, JobState
from contract.settings import Settings
from contract.store import Store, checkpoints, jobs, leases
from tests.worker.test_supervisor import TENANT, TRAINER, ended, move, settings, submit, until
from worker import process, storage
from worker.supervisor import Supervisor

__all__ = ["settings"]


@pytest.fixture
def hung(monkeypatch: pytest.MonkeyPatch) -> Any:
    """An artifact store that hangs, until the test is over."""
    reached, released = threading.Event(), threading.Event()

    def hang(*_: object) -> Any:
        reached.set()
        released.wait(60)
        raise ArtifactsUnavailableError("it has come back")

    monkeypatch.setattr(storage, "fetch_newest", hang)
    yield reached
    released.set()


def worker(settings: Settings, **changes: Any) -> Supervisor:
    made = Supervisor(settings.model_copy(update=changes), trainer_command=TRAINER)
    made.start()
    return made


def test_a_job_whose_checkpoint_never_comes_ends_with_its_limit(settings: Settings, sqlite_store: Store, hung: threading.Event) -> None:
    supervisor = worker(settings)
    job = submit(sqlite_store, "epoch", limits={"max_runtime_seconds": 1})
    done = until(sqlite_store, job, ended)
    supervisor.close()
    assert done.error is not None
    assert done.error["code"] == "deadline_exceeded"


def test_a_pause_is_heard_and_a_worker_ends_while_an_artifact_store_hangs(
    settings: Settings, sqlite_store: Store, hung: threading.Event
) -> None:
    supervisor = worker(settings)
    job = submit(sqlite_store, "epoch")
    assert hung.wait(20)
    move(sqlite_store, job, lifecycle.pause)
    until(sqlite_store, job, lambda found: found.state is JobState.PAUSED)
    other = submit(sqlite_store, "epoch")
    until(sqlite_store, other, lambda found: found.state is JobState.RUNNING)
    supervisor.close()
    released = jobs.get(sqlite_store, TENANT, other.id)
    assert (released.state, released.crash_count, released.release_count) == (JobState.QUEUED, 0, 1)


def test_an_artifact_store_that_hangs_for_too_long_puts_the_job_to_rest(
    settings: Settings, sqlite_store: Store, hung: threading.Event
) -> None:
    supervisor = worker(settings, stall_seconds=0.3)
    job = submit(sqlite_store, "epoch")
    resting = until(sqlite_store, job, lambda found: found.releases_since_progress == 1)
    supervisor.close()
    assert "within 0.3 s" in (resting.status_reason or "")


def test_a_shutdown_waits_for_a_slow_upload_and_costs_neither_the_checkpoint_nor_a_crash(
    settings: Settings, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, uploading, may_end = storage.upload, threading.Event(), threading.Event()

    def slow(*given: Any) -> checkpoints.Draft:
        uploading.set()
        assert may_end.wait(60)
        return upload(*given)

    monkeypatch.setattr(storage, "upload", slow)
    supervisor = worker(settings, lease_seconds=0.6, trainer_stop_seconds=0.2)
    job = submit(sqlite_store, "epoch checkpoint wait")
    assert uploading.wait(20)
    supervisor.drain()
    held = jobs.get(sqlite_store, TENANT, job.id).lease_until
    assert held is not None
    until(sqlite_store, job, lambda found: (found.lease_until or 0) > held + 2 * 0.6)
    may_end.set()
    supervisor.close()
    released = jobs.get(sqlite_store, TENANT, job.id)
    assert (released.state, released.crash_count, released.release_count) == (JobState.QUEUED, 0, 1)
    assert released.checkpoint_id is not None


def test_what_killed_attempts_left_in_the_scratch_folder_is_removed_and_a_live_ones_files_are_not(tmp_path: Path) -> None:
    job = Job(id="job_a", tenant="t", name=None, metadata={}, spec={}, spec_sha256="", fence=5)
    for name in ("job_a-4", "job_a-6", "job_b-1", "job_c-1", "notes"):
        (tmp_path / name / "step-1").mkdir(parents=True)
    for path in ("job_c-1", "job_c-1/step-1", "notes", "notes/step-1"):
        os.utime(tmp_path / path, (1.0, 1.0))
    storage.clear_scratch(tmp_path, job, 3600)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job_a-6", "job_b-1", "notes"]


def test_a_worker_that_ends_gives_back_what_it_may_have_claimed_without_an_answer(
    settings: Settings, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = Supervisor(settings, trainer_command=TRAINER)
    claim = leases.claim

    def unheard(*given: Any) -> Job | None:
        claim(*given)
        raise StoreUnavailableError("the connection broke after COMMIT")

    monkeypatch.setattr(leases, "claim", unheard)
    job = submit(sqlite_store, "epoch")
    with pytest.raises(StoreUnavailableError):
        supervisor.answer(job.id)
    supervisor.close()
    assert jobs.get(sqlite_store, TENANT, job.id).state is JobState.QUEUED


def test_a_postgresql_that_takes_no_writes_is_an_outage_and_not_a_fault_of_ours(postgresql_url: str) -> None:
    store = Store(postgresql_url)
    with store.write() as connection:
        connection.execute(text("CREATE TABLE t (n integer)"))

    def write() -> None:
        with store.write() as connection:
            connection.execute(text("SET TRANSACTION READ ONLY"))
            connection.execute(text("INSERT INTO t VALUES (1)"))

    with pytest.raises(StoreUnavailableError, match="takes no writes"):
        write()
    store.close()


def test_a_trainer_measures_its_machine_only_where_the_operator_asks_for_it(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "told"
    monkeypatch.setenv("RIDGELINE_MEASURED", "of whoever started us")
    program = ("sh", "-c", f'echo "${{RIDGELINE_MEASURED-nothing}}" >> {told}')
    for numerics in ("default", "measured"):
        trainer = process.Trainer(settings.model_copy(update={"numerics": numerics}), program)
        while not isinstance(trainer.heard.get(timeout=60), process.Died):
            pass
    assert told.read_text().split("\n") == ["nothing", str(settings.scratch_folder.absolute() / "measured.json"), ""]

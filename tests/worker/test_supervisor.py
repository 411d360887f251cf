"""What a worker promises about the job it holds, shown with a scripted trainer in a real process."""

import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from sqlalchemy import text

from contract import lifecycle
from contract.artifacts import LocalFolder
from contract.errors import StoreUnavailableError
from contract.job import Job, JobState
from contract.lifecycle import CRASHES_WITHOUT_PROGRESS, Actor
from contract.settings import Settings
from contract.spec import JobSpec
from contract.store import Store, checkpoints, jobs, leases, rows, workers
from worker import orders, storage
from worker.attempt import Attempt
from worker.process import Trainer
from worker.supervisor import Supervisor
from worker.watchdog import Watchdog

TRAINER = (sys.executable, str(Path(__file__).with_name("scripted_trainer.py")))
TENANT = "default"


@pytest.fixture
def settings(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    return Settings(
        database_url=sqlite_url,
        artifacts_folder=tmp_path / "artifacts",
        scratch_folder=tmp_path / "scratch",
        renew_seconds=0.05,
        poll_seconds=0.05,
        lease_seconds=5,
        trainer_stop_seconds=1,
    )


@pytest.fixture
def supervisor(settings: Settings, sqlite_store: Store) -> Iterator[Supervisor]:
    made = Supervisor(settings, trainer_command=TRAINER)
    yield made
    made.close()


def submit(store: Store, script: str, **changes: object) -> Job:
    spec = JobSpec.model_validate({"dataset": {"kind": "fake"}, "metadata": {"script": script}, **changes})
    return jobs.submit(store, TENANT, spec).job


def until(store: Store, job: Job, condition: Callable[[Job], bool], seconds: float = 20.0) -> Job:
    """The job once the condition holds; fails loudly if it never does."""
    end = monotonic() + seconds
    while monotonic() < end:
        found = jobs.get(store, TENANT, job.id)
        if condition(found):
            return found
        sleep(0.01)
    raise AssertionError(f"never came about; the job is {found.state}: {found.status_reason}")


def ended(job: Job) -> bool:
    return job.is_terminal


def test_a_job_is_trained_and_committed_with_its_history(supervisor: Supervisor, sqlite_store: Store) -> None:
    job = submit(sqlite_store, "epoch checkpoint epoch checkpoint")
    supervisor.answer(job.id)
    done = jobs.get(sqlite_store, TENANT, job.id)
    assert (done.state, done.epoch, done.step, done.attempt) == (JobState.SUCCEEDED, 2, 4, 1)
    assert done.data is not None
    told = [event.type for event in jobs.events(sqlite_store, job.id)]
    assert told == ["status", "status", "log", "epoch", "checkpoint", "epoch", "checkpoint", "status"]
    result = jobs.result(sqlite_store, job.id)
    assert result is not None
    assert result["metrics"]["train.loss"] == "NaN"
    assert result["best_checkpoint_id"] == done.best_checkpoint_id


def test_a_job_whose_ring_was_lost_is_found_by_polling(supervisor: Supervisor, sqlite_store: Store) -> None:
    supervisor.start()
    job = submit(sqlite_store, "epoch")
    assert until(sqlite_store, job, ended).state is JobState.SUCCEEDED


def test_the_bytes_of_a_checkpoint_are_stored_and_the_scratch_folder_is_left_empty(
    supervisor: Supervisor, sqlite_store: Store, settings: Settings
) -> None:
    job = submit(sqlite_store, "epoch checkpoint")
    (settings.scratch_folder / f"{job.id}-0" / "left by a killed attempt").mkdir(parents=True)
    supervisor.answer(job.id)
    done = jobs.get(sqlite_store, TENANT, job.id)
    kept = checkpoints.get(sqlite_store, done, "last")
    body = b"".join(LocalFolder(settings.artifacts_folder).read(f"{kept.prefix}/state.json"))
    assert body == b'{"word": 2, "epoch": 1}'
    assert kept.prefix.startswith(f"{job.id}/1/")
    assert list(settings.scratch_folder.iterdir()) == []


def test_a_cancel_is_heard_and_leaves_a_checkpoint(supervisor: Supervisor, sqlite_store: Store) -> None:
    supervisor.start()
    job = submit(sqlite_store, "epoch wait")
    until(sqlite_store, job, lambda found: found.epoch == 1)
    jobs.cancel(sqlite_store, TENANT, job.id)
    done = until(sqlite_store, job, ended)
    assert done.state is JobState.CANCELLED
    assert checkpoints.get(sqlite_store, done, "last").epoch == 1


def test_a_trainer_that_does_not_hear_a_cancel_is_killed(supervisor: Supervisor, sqlite_store: Store) -> None:
    supervisor.start()
    job = submit(sqlite_store, "epoch deaf")
    until(sqlite_store, job, lambda found: found.epoch == 1)
    deaf = supervisor.trainer_pid
    jobs.cancel(sqlite_store, TENANT, job.id)
    assert until(sqlite_store, job, ended).state is JobState.CANCELLED
    with pytest.raises(ProcessLookupError):
        os.kill(deaf, 0)


def test_a_trainer_killed_in_mid_job_costs_an_attempt_and_no_job(supervisor: Supervisor, sqlite_store: Store) -> None:
    supervisor.start()
    job = submit(sqlite_store, "epoch checkpoint epoch wait epoch")
    until(sqlite_store, job, lambda found: found.epoch == 2)
    os.kill(supervisor.trainer_pid, signal.SIGKILL)
    found = until(sqlite_store, job, lambda found: found.attempt == 2 and found.step > 0)
    assert found.crash_count == 1
    assert any("signal 9" in (event.data.get("reason") or "") for event in jobs.events(sqlite_store, job.id) if event.type == "status")
    jobs.cancel(sqlite_store, TENANT, job.id)
    assert until(sqlite_store, job, ended).state is JobState.CANCELLED


@pytest.mark.parametrize(("poison", "cause"), [("segfault", "signal 11"), ("exit", "code 1"), ("garbage", "signal 9")])
def test_a_job_that_kills_every_trainer_fails_and_its_neighbour_does_not(
    supervisor: Supervisor, sqlite_store: Store, poison: str, cause: str
) -> None:
    supervisor.start()
    job = submit(sqlite_store, f"epoch {poison} wait")
    neighbour = submit(sqlite_store, "epoch")
    done = hastened(sqlite_store, job)
    assert done.error is not None
    assert (done.error["code"], done.attempt) == ("crash_loop", 3)
    assert cause in done.error["message"]
    assert until(sqlite_store, neighbour, ended).state is JobState.SUCCEEDED
    last_words = [event.data["stderr"] for event in jobs.events(sqlite_store, job.id) if "stderr" in event.data]
    assert poison != "exit" or last_words == [["Killed by a grudge"]] * 3


def test_a_trainer_that_hangs_is_killed_with_its_stack_in_the_history_and_the_job_fails_as_stalled_in_the_end(
    settings: Settings, sqlite_store: Store
) -> None:
    supervisor = Supervisor(settings.model_copy(update={"stall_seconds": 0.3}), trainer_command=TRAINER)
    try:
        supervisor.start()
        job = submit(sqlite_store, "epoch hang")
        neighbour = submit(sqlite_store, "epoch")
        done = hastened(sqlite_store, job)
        assert until(sqlite_store, neighbour, ended).state is JobState.SUCCEEDED
    finally:
        supervisor.close()
    assert done.error is not None
    assert (done.error["code"], done.attempt) == ("stalled", CRASHES_WITHOUT_PROGRESS)
    assert "RIDGELINE_STALL_SECONDS" in done.error["hint"]
    stacks = [event.data["stack"] for event in jobs.events(sqlite_store, job.id) if "stack" in event.data]
    assert len(stacks) == CRASHES_WITHOUT_PROGRESS
    assert all(any("in stuck" in line for line in stack) for stack in stacks)


class Clock:
    """A watchdog's clock, which goes only while bytes travel."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def slowed(self, deed: Callable[..., Any]) -> Callable[..., Any]:
        """The deed, taking an hour of this clock."""

        def slow(*given: Any) -> Any:
            self.now += 3_600.0
            return deed(*given)

        return slow


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("worker.attempt.Watchdog", lambda stall_seconds: Watchdog(stall_seconds, clock))
    return clock


def test_a_fetch_that_takes_longer_than_a_stall_is_none(
    supervisor: Supervisor, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch, watched: Clock
) -> None:
    tell, renew = Trainer.tell, leases.renew
    unheard: list[tuple[Trainer, orders.Order]] = []

    def renewed(*given: Any) -> Job:
        found = renew(*given)
        while unheard:
            tell(*unheard.pop())
        return found

    # A trainer that answers only after the first look at it, which would else be a matter of luck.
    monkeypatch.setattr(Trainer, "tell", lambda trainer, order: unheard.append((trainer, order)))
    monkeypatch.setattr(leases, "renew", renewed)
    monkeypatch.setattr(storage, "fetch_newest", watched.slowed(storage.fetch_newest))
    job = submit(sqlite_store, "epoch")
    supervisor.answer(job.id)
    done = jobs.get(sqlite_store, TENANT, job.id)
    assert (done.state, done.attempt, done.crash_count) == (JobState.SUCCEEDED, 1, 0)
    assert watched.now > supervisor.settings.stall_seconds


def test_an_upload_that_takes_longer_than_a_stall_is_none(
    supervisor: Supervisor, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch, watched: Clock
) -> None:
    record = checkpoints.record

    def recorded(*given: Any) -> Job:
        supervisor.drain()  # the trainer says nothing more until it is told to stop
        return record(*given)

    monkeypatch.setattr(storage, "upload", watched.slowed(storage.upload))
    monkeypatch.setattr(checkpoints, "record", recorded)
    job = submit(sqlite_store, "epoch checkpoint wait")
    supervisor.answer(job.id)
    back = jobs.get(sqlite_store, TENANT, job.id)
    assert (back.state, back.crash_count, back.release_count, back.checkpoint_seq) == (JobState.QUEUED, 0, 1, 2)
    assert watched.now > supervisor.settings.stall_seconds


def test_a_stop_that_nobody_asked_for_gives_no_job_back(supervisor: Supervisor, sqlite_store: Store) -> None:
    job = submit(sqlite_store, "epoch stray epoch checkpoint")
    supervisor.answer(job.id)
    done = jobs.get(sqlite_store, TENANT, job.id)
    assert (done.state, done.epoch, done.attempt, done.release_count) == (JobState.SUCCEEDED, 2, 1, 0)


def test_a_lease_is_renewed_while_bytes_travel(
    supervisor: Supervisor, sqlite_store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, renewed = threading.Event(), threading.Event()
    upload, renew = storage.upload, leases.renew

    def slow(*given: Any) -> checkpoints.Draft:
        held.set()
        assert renewed.wait(10)
        return upload(*given)

    def seen(*given: Any) -> Job:
        job = renew(*given)
        if held.is_set():
            renewed.set()
        return job

    monkeypatch.setattr(storage, "upload", slow)
    monkeypatch.setattr(leases, "renew", seen)
    job = submit(sqlite_store, "epoch checkpoint")
    supervisor.answer(job.id)
    assert jobs.get(sqlite_store, TENANT, job.id).state is JobState.SUCCEEDED


def test_a_job_paused_while_its_checkpoint_is_fetched_is_not_begun(
    supervisor: Supervisor, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = threading.Event()
    fetch, hear = storage.fetch_newest, Attempt._hear

    def slow(*given: Any) -> Any:
        move(sqlite_store, job, lifecycle.pause)
        assert heard.wait(10)
        return fetch(*given)

    def notice(self: Attempt, found: Job) -> None:
        hear(self, found)
        if found.state is JobState.PAUSING:
            heard.set()

    monkeypatch.setattr(storage, "fetch_newest", slow)
    monkeypatch.setattr(Attempt, "_hear", notice)
    told: list[orders.Order] = []
    tell = Trainer.tell
    monkeypatch.setattr(Trainer, "tell", lambda self, order: told.append(order) or tell(self, order))
    job = submit(sqlite_store, "epoch")
    supervisor.answer(job.id)
    assert jobs.get(sqlite_store, TENANT, job.id).state is JobState.PAUSED
    assert told == []


def test_news_whose_answer_was_lost_is_told_again_and_written_once(
    supervisor: Supervisor, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    renew = leases.renew

    def unheard(*given: Any) -> Job:
        job = renew(*given)
        if random.random() < 0.5:
            raise StoreUnavailableError("the connection broke after COMMIT")
        return job

    random.seed(1)
    monkeypatch.setattr(leases, "renew", unheard)
    monkeypatch.setattr("worker.tenure.sleep", lambda _: None)
    job = submit(sqlite_store, "epoch checkpoint " * 10)
    supervisor.answer(job.id)
    done = jobs.get(sqlite_store, TENANT, job.id)
    told = [event.data["epoch"] for event in jobs.events(sqlite_store, job.id) if event.type == "epoch"]
    assert (done.state, done.epoch, told) == (JobState.SUCCEEDED, 10, [*range(1, 11)])


def test_a_job_whose_claim_had_no_answer_is_not_left_lying_until_its_lease_ends(
    supervisor: Supervisor, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = leases.claim

    def unheard(*given: Any) -> Job | None:
        monkeypatch.setattr(leases, "claim", claim)
        claim(*given)
        raise StoreUnavailableError("the connection broke after COMMIT")

    monkeypatch.setattr(leases, "claim", unheard)
    job = submit(sqlite_store, "epoch")
    with pytest.raises(StoreUnavailableError):
        supervisor.answer(job.id)
    assert jobs.get(sqlite_store, TENANT, job.id).state is JobState.RUNNING
    supervisor.answer(job.id)
    done = jobs.get(sqlite_store, TENANT, job.id)
    assert (done.state, done.attempt, done.crash_count, done.release_count) == (JobState.SUCCEEDED, 2, 0, 1)


def test_an_owner_that_could_not_renew_for_a_whole_lease_stops_by_itself(
    settings: Settings, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = Supervisor(settings.model_copy(update={"lease_seconds": 0.5}), trainer_command=TRAINER)
    told: list[orders.Order] = []
    tell = Trainer.tell

    def listen(trainer: Trainer, order: orders.Order) -> None:
        told.append(order)
        if isinstance(order, orders.Stop):
            supervisor.drain()  # it would take the job again at once
        tell(trainer, order)

    monkeypatch.setattr(Trainer, "tell", listen)
    job = submit(sqlite_store, "epoch wait")
    thread = threading.Thread(target=supervisor.answer, args=[job.id])
    thread.start()
    until(sqlite_store, job, lambda found: found.epoch == 1)

    def away(*_: Any) -> Job:
        raise StoreUnavailableError("the database is away")

    monkeypatch.setattr(leases, "renew", away)
    thread.join(timeout=20)
    assert not thread.is_alive()
    assert orders.Stop(job_id=job.id, save=False) in told
    supervisor.close()
    back = jobs.get(sqlite_store, TENANT, job.id)
    assert (back.state, back.crash_count, back.release_count) == (JobState.QUEUED, 0, 1)


def test_a_job_that_must_resume_to_the_bit_waits_for_a_worker_of_its_class(supervisor: Supervisor, sqlite_store: Store) -> None:
    supervisor.start()
    job = submit(sqlite_store, "epoch checkpoint wait")
    until(sqlite_store, job, lambda found: found.checkpoint_seq == 1)
    execute(sqlite_store, "UPDATE jobs SET resumes_on = 'torch 1.0, cpu, none'")
    os.kill(supervisor.trainer_pid, signal.SIGKILL)
    waiting = until(sqlite_store, job, lambda found: found.state is JobState.QUEUED)
    other = submit(sqlite_store, "epoch")
    until(sqlite_store, other, ended)
    assert jobs.get(sqlite_store, TENANT, job.id).attempt == waiting.attempt
    execute(sqlite_store, f"UPDATE jobs SET resumes_on = 'torch none, cpu, none' WHERE id = '{job.id}'")
    until(sqlite_store, job, lambda found: found.attempt == waiting.attempt + 1)


@pytest.mark.parametrize("script", ["epoch wait", "epoch deaf"])
def test_a_paused_job_rests_without_an_owner_and_goes_on_when_resumed(supervisor: Supervisor, sqlite_store: Store, script: str) -> None:
    supervisor.start()
    job = submit(sqlite_store, script)
    until(sqlite_store, job, lambda found: found.epoch == 1)
    move(sqlite_store, job, lifecycle.pause)
    resting = until(sqlite_store, job, lambda found: found.state is JobState.PAUSED)
    assert (resting.owner, resting.crash_count) == (None, 0)
    assert (resting.checkpoint_id is None) == ("deaf" in script)
    move(sqlite_store, job, lifecycle.resume)
    assert until(sqlite_store, job, lambda found: found.state is JobState.RUNNING).attempt == 2


def test_a_trainer_is_told_how_often_the_operator_wants_checkpoints(
    settings: Settings, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = Supervisor(settings.model_copy(update={"checkpoint_seconds": 7.0, "checkpoint_share": 0.5}), trainer_command=TRAINER)
    told: list[orders.Order] = []
    tell = Trainer.tell
    monkeypatch.setattr(Trainer, "tell", lambda self, order: told.append(order) or tell(self, order))
    supervisor.answer(submit(sqlite_store, "epoch").id)
    supervisor.close()
    (order,) = told
    assert isinstance(order, orders.Train)
    assert (order.checkpoint_seconds, order.checkpoint_share) == (7.0, 0.5)


def test_a_diverged_job_fails_at_once_with_its_remedy(supervisor: Supervisor, sqlite_store: Store) -> None:
    job = submit(sqlite_store, "epoch checkpoint diverge")
    supervisor.answer(job.id)
    done = jobs.get(sqlite_store, TENANT, job.id)
    assert done.error == {"code": "diverged", "message": "loss became nan at step 3", "hint": "try lr below 0.5", "retryable": False}


def test_a_job_resumes_from_its_newest_whole_checkpoint(supervisor: Supervisor, sqlite_store: Store, settings: Settings) -> None:
    supervisor.start()
    job = submit(sqlite_store, "epoch checkpoint epoch checkpoint wait")
    found = until(sqlite_store, job, lambda found: found.checkpoint_seq == 2)
    newest = checkpoints.listed(sqlite_store, found)[0]
    (settings.artifacts_folder / newest.prefix / "state.json").write_bytes(b"rotten")
    os.kill(supervisor.trainer_pid, signal.SIGKILL)
    until(sqlite_store, job, lambda found: found.attempt == 2 and found.checkpoint_seq == 3)
    warned = [event.message for event in jobs.events(sqlite_store, job.id) if event.type == "warning"]
    resumed = [event.data["step"] for event in jobs.events(sqlite_store, job.id) if event.type == "log"]
    assert any("SHA-256" in message and newest.id in message for message in warned)
    assert resumed == [0, 2]


def test_a_job_that_runs_for_too_long_is_stopped_with_a_checkpoint(supervisor: Supervisor, sqlite_store: Store) -> None:
    supervisor.start()
    job = submit(sqlite_store, "epoch wait", limits={"max_runtime_seconds": 1})
    done = until(sqlite_store, job, ended)
    assert done.error is not None
    assert done.error["code"] == "deadline_exceeded"
    assert done.checkpoint_id is not None


def test_closing_a_worker_gives_its_job_back_with_a_checkpoint(supervisor: Supervisor, sqlite_store: Store) -> None:
    supervisor.start()
    job = submit(sqlite_store, "epoch wait")
    until(sqlite_store, job, lambda found: found.epoch == 1)
    supervisor.close()
    released = jobs.get(sqlite_store, TENANT, job.id)
    assert (released.state, released.crash_count, released.release_count) == (JobState.QUEUED, 0, 1)
    assert released.checkpoint_id is not None
    assert workers.listed(sqlite_store) == []


def test_an_owner_that_lost_its_lease_stops_and_writes_nothing_more(supervisor: Supervisor, sqlite_store: Store) -> None:
    job = submit(sqlite_store, "epoch wait")
    thread = threading.Thread(target=supervisor.answer, args=[job.id])
    thread.start()
    until(sqlite_store, job, lambda found: found.epoch == 1)
    with sqlite_store.write() as connection:
        connection.execute(text("UPDATE jobs SET fence = fence + 1, owner = 'another', lease_until = 9e9, version = version + 1"))
    before = jobs.get(sqlite_store, TENANT, job.id)
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert jobs.get(sqlite_store, TENANT, job.id) == before


def test_a_worker_is_seen_idle_once_its_trainer_is_warm(supervisor: Supervisor, sqlite_store: Store) -> None:
    supervisor.start()
    end = monotonic() + 10
    while monotonic() < end and [w.state for w in workers.listed(sqlite_store)] != ["idle"]:
        sleep(0.05)
    (seen,) = workers.listed(sqlite_store)
    assert (seen.state, seen.device, seen.is_fresh) == ("idle", "cpu", True)


def test_the_trainer_gets_no_key_to_the_artifacts(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t")
    trainer = Trainer(settings, ("sleep", "60"))
    try:
        assert b"s3cr3t" not in Path(f"/proc/{trainer.pid}/environ").read_bytes()
    finally:
        trainer.kill()


def test_the_trainer_is_told_no_address_and_no_password(supervisor: Supervisor) -> None:
    environment = Path(f"/proc/{supervisor.trainer_pid}/environ").read_bytes()
    assert b"RIDGELINE_PARENT_PID" in environment
    assert b"DATABASE_URL" not in environment
    assert b"REDIS_URL" not in environment


def test_a_shutdown_after_a_crash_of_the_trainer_still_leaves_a_checkpoint(supervisor: Supervisor, sqlite_store: Store) -> None:
    os.kill(supervisor.trainer_pid, signal.SIGKILL)
    first = supervisor.trainer_pid
    supervisor.start()
    end = monotonic() + 10
    while supervisor.trainer_pid == first and monotonic() < end:
        sleep(0.01)  # the polling thread starts the new one
    job = submit(sqlite_store, "epoch wait")
    until(sqlite_store, job, lambda found: found.epoch == 1)
    supervisor.close()
    released = jobs.get(sqlite_store, TENANT, job.id)
    assert (released.state, released.crash_count, released.release_count) == (JobState.QUEUED, 0, 1)
    assert released.checkpoint_id is not None


def test_a_replaced_trainer_outlives_the_drain_while_another_thread_uses_it(supervisor: Supervisor, sqlite_store: Store) -> None:
    os.kill(supervisor.trainer_pid, signal.SIGKILL)
    first = supervisor.trainer_pid
    supervisor.start()
    until_idle(sqlite_store)
    assert supervisor.trainer_pid != first
    supervisor.drain()
    sleep(0.3)
    os.kill(supervisor.trainer_pid, 0)
    assert Path(f"/proc/{supervisor.trainer_pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_a_job_whose_last_checkpoint_cannot_be_stored_does_not_succeed(
    supervisor: Supervisor, sqlite_store: Store, settings: Settings
) -> None:
    settings.artifacts_folder.write_text("a file where the folder should be")
    job = submit(sqlite_store, "epoch checkpoint")
    supervisor.answer(job.id)
    released = jobs.get(sqlite_store, TENANT, job.id)
    assert (released.state, released.crash_count) == (JobState.QUEUED, 0)
    assert "could not be stored" in (released.status_reason or "")
    assert jobs.result(sqlite_store, job.id) is None


def test_a_store_of_artifacts_that_is_not_there_costs_a_wait_and_no_job(
    supervisor: Supervisor, sqlite_store: Store, settings: Settings
) -> None:
    supervisor.start()
    job = submit(sqlite_store, "epoch checkpoint wait")
    until(sqlite_store, job, lambda found: found.checkpoint_seq == 1)
    settings.artifacts_folder.rename(settings.artifacts_folder.with_name("unmounted"))
    os.kill(supervisor.trainer_pid, signal.SIGKILL)
    waiting = until(sqlite_store, job, lambda found: found.attempt == 2 and found.state is JobState.QUEUED)
    assert "is it mounted?" in (waiting.status_reason or "")


def test_what_an_attempt_did_not_foresee_ends_its_trainer_with_it(
    supervisor: Supervisor, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit(sqlite_store, "epoch wait")
    trainer = supervisor.trainer_pid

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("worker.tenure.News.add", broken)
    with pytest.raises(ZeroDivisionError):
        supervisor.answer(job.id)
    with pytest.raises(ProcessLookupError):
        os.kill(trainer, 0)


def test_a_spec_of_another_version_fails_and_says_so(supervisor: Supervisor, sqlite_store: Store) -> None:
    job = submit(sqlite_store, "epoch")
    with sqlite_store.write() as connection:
        connection.execute(text("UPDATE jobs SET spec = json_set(spec, '$.model.kind', 'perceptron')"))
    supervisor.answer(job.id)
    done = jobs.get(sqlite_store, TENANT, job.id)
    assert done.error is not None
    assert done.error["code"] == "spec_invalid"


def hastened(store: Store, job: Job) -> Job:
    """The job at its end, its waits between attempts cut short."""

    def ended_soon(found: Job) -> bool:
        execute(store, "UPDATE jobs SET available_at = 0 WHERE state = 'queued'")
        return found.is_terminal

    return until(store, job, ended_soon, 30)


def move(store: Store, job: Job, deed: Callable[[Job, float], Job]) -> None:
    with store.write() as connection:
        before = rows.lock(connection, job.id)
        rows.save(connection, before, deed(before, store.now(connection)), Actor.CLIENT, store.now(connection))


def execute(store: Store, statement: str) -> None:
    with store.write() as connection:
        connection.execute(text(statement))


def until_idle(store: Store) -> None:
    end = monotonic() + 15
    while [worker.state for worker in workers.listed(store)] != ["idle"]:
        assert monotonic() < end
        sleep(0.02)

"""The promises of the store about a job's lease, on both databases."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import text, update

from contract.errors import IdempotencyMismatchError, LostLeaseError, NotFoundError, StateConflictError, StoreUnavailableError
from contract.events import FailureCode, File, StopReason
from contract.job import Job, JobState
from contract.lifecycle import CRASHES_WITHOUT_PROGRESS, Actor, Failure, Report
from contract.spec import JobSpec
from contract.store import Store, checkpoints, jobs, leases, metrics, rows, sweep, tables
from contract.store.leases import Lease
from contract.store.rows import Note

TENANT = "default"
SPEC = JobSpec.model_validate({"epochs": 3, "dataset": {"kind": "fake"}})
FAILURE = Failure(FailureCode.DIVERGED, "loss became nan at step 3", "try a lower lr")
FILE = File(name="model.safetensors", size_bytes=5, sha256="0" * 64)


def submit(store: Store, **changes: object) -> Job:
    return jobs.submit(store, TENANT, SPEC.model_copy(update=changes)).job


def running(store: Store) -> tuple[Job, Lease]:
    submit(store)
    job = leases.claim(store, "worker-1", "cpu", 60)
    assert job is not None
    return job, Lease(job.id, job.fence)


def lapse(store: Store, job_id: str) -> None:
    with store.write() as connection:
        connection.execute(update(tables.jobs).where(tables.jobs.c.id == job_id).values(lease_until=1.0))


def draft(epoch: int, value: float, *, interim: bool = False) -> checkpoints.Draft:
    return checkpoints.Draft(epoch, epoch * 10, {"val.loss": value}, interim, f"job/{epoch}", [FILE])


def test_a_submitted_job_waits_in_the_queue_with_one_event(store: Store) -> None:
    job = submit(store)
    assert job.state is JobState.QUEUED
    assert [event.seq for event in jobs.events(store, job.id)] == [1]
    assert jobs.get(store, TENANT, job.id) == job


def test_a_foreign_tenants_job_is_not_found(store: Store) -> None:
    job = submit(store)
    with pytest.raises(NotFoundError):
        jobs.get(store, "another", job.id)
    with pytest.raises(NotFoundError):
        jobs.cancel(store, "another", job.id)


def test_one_key_makes_one_job_however_often_it_is_sent_at_once(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        sent = list(pool.map(lambda _: jobs.submit(store, TENANT, SPEC, "key-1"), range(8)))
    assert len({submission.job.id for submission in sent}) == 1
    assert sum(not submission.replayed for submission in sent) == 1


def test_a_key_used_for_another_spec_is_refused(store: Store) -> None:
    jobs.submit(store, TENANT, SPEC, "key-1")
    with pytest.raises(IdempotencyMismatchError):
        jobs.submit(store, TENANT, SPEC.model_copy(update={"epochs": 4}), "key-1")


def test_a_job_is_claimed_by_one_worker_however_many_try(store: Store) -> None:
    submit(store)
    with ThreadPoolExecutor(8) as pool:
        claimed = list(pool.map(lambda n: leases.claim(store, f"worker-{n}", "cpu", 60), range(8)))
    assert len([job for job in claimed if job]) == 1


def test_higher_priority_is_claimed_first_then_the_older_job(store: Store) -> None:
    first, second, urgent = submit(store), submit(store), submit(store, priority=5)
    order = [leases.claim(store, "worker", "cpu", 60) for _ in range(3)]
    assert [job.id for job in order if job] == [urgent.id, first.id, second.id]


def test_a_job_for_cuda_is_not_claimed_by_a_worker_without_it(store: Store) -> None:
    job = submit(store, device="cuda")
    assert leases.claim(store, "worker", "cpu", 60) is None
    claimed = leases.claim(store, "worker", "cuda", 60)
    assert claimed is not None
    assert claimed.id == job.id


def test_a_renewal_writes_news_notes_and_samples_and_hears_the_state(store: Store) -> None:
    job, lease = running(store)
    sample = metrics.Sample(7, "epoch", 1, {"train.loss": float("nan"), "lr": 0.1})
    renewed = leases.renew(store, lease, 60, Report(epoch=1, step=7), [Note("epoch", "epoch 1")], [sample, sample])
    assert (renewed.state, renewed.epoch, renewed.step) == (JobState.RUNNING, 1, 7)
    assert [point.values for point in metrics.read(store, job.id)] == [{"train.loss": "NaN", "lr": 0.1}]
    jobs.cancel(store, TENANT, job.id)
    assert leases.renew(store, lease, 60).state is JobState.CANCELLING


def test_a_step_trained_again_takes_the_place_of_the_old_numbers(store: Store) -> None:
    job, lease = running(store)
    for value in (1.0, 2.0):
        leases.renew(store, lease, 60, samples=[metrics.Sample(5, "step", 1, {"train.loss": value})])
    assert [point.values["train.loss"] for point in metrics.read(store, job.id)] == [2.0]


@pytest.mark.parametrize(
    "deed",
    [
        lambda store, lease: leases.renew(store, lease, 60),
        lambda store, lease: leases.succeed(store, lease, {}),
        lambda store, lease: leases.fail(store, lease, FAILURE),
        lambda store, lease: leases.release(store, lease, "shutdown"),
        lambda store, lease: leases.crash(store, lease, "killed"),
        lambda store, lease: leases.finish_cancel(store, lease),
        lambda store, lease: checkpoints.record(store, lease, draft(1, 0.5)),
    ],
    ids=["renew", "succeed", "fail", "release", "crash", "finish_cancel", "checkpoint"],
)
def test_an_owner_whose_lease_expired_has_no_say_in_anything(store: Store, deed) -> None:  # type: ignore[no-untyped-def]
    job, stale = running(store)
    lapse(store, job.id)
    assert [expired.id for expired in sweep.expire(store)] == [job.id]
    with pytest.raises(LostLeaseError):
        deed(store, stale)
    fresh = leases.claim(store, "worker-2", "cpu", 60)
    assert fresh is not None
    before = jobs.get(store, TENANT, job.id)
    with pytest.raises(LostLeaseError):
        deed(store, stale)
    assert jobs.get(store, TENANT, job.id) == before


def test_success_commits_state_result_and_event_together(store: Store) -> None:
    job, lease = running(store)
    done = leases.succeed(store, lease, {"metrics": {"test.accuracy": 0.9}})
    assert done.state is JobState.SUCCEEDED
    assert jobs.result(store, job.id) == {"metrics": {"test.accuracy": 0.9}}
    assert [event.data["to"] for event in jobs.events(store, job.id)] == ["queued", "running", "succeeded"]


@pytest.mark.parametrize("stop_reason", StopReason)
def test_a_job_that_stopped_early_says_why(store: Store, stop_reason: StopReason) -> None:
    _, lease = running(store)
    done = leases.succeed(store, lease, {"stop_reason": stop_reason.value})
    told = {StopReason.EPOCHS: "to the end", StopReason.EARLY_STOPPING: "no longer improved", StopReason.TOLERANCE: "within the tolerance"}
    assert told[stop_reason] in str(done.status_reason)


def test_a_commit_repeated_after_a_lost_answer_is_the_same_success(store: Store) -> None:
    job, lease = running(store)
    once = leases.succeed(store, lease, {"n": 1})
    assert leases.succeed(store, lease, {"n": 2}) == once
    assert jobs.result(store, job.id) == {"n": 1}


def test_a_cancel_before_the_commit_wins(store: Store) -> None:
    job, lease = running(store)
    assert jobs.cancel(store, TENANT, job.id)[0].state is JobState.CANCELLING
    with pytest.raises(StateConflictError):
        leases.succeed(store, lease, {})
    assert leases.finish_cancel(store, lease).state is JobState.CANCELLED
    assert jobs.result(store, job.id) is None


def test_a_waiting_job_is_cancelled_at_once_and_repeating_is_harmless(store: Store) -> None:
    job = submit(store)
    cancelled, moved = jobs.cancel(store, TENANT, job.id)
    assert (cancelled.state, moved) == (JobState.CANCELLED, True)
    assert jobs.cancel(store, TENANT, job.id) == (cancelled, False)
    assert leases.claim(store, "worker", "cpu", 60) is None


def test_a_finished_job_cannot_be_cancelled(store: Store) -> None:
    job, lease = running(store)
    leases.fail(store, lease, FAILURE)
    with pytest.raises(StateConflictError, match="has failed and cannot be cancelled"):
        jobs.cancel(store, TENANT, job.id)


def test_an_expired_job_waits_again_under_a_higher_fence(store: Store) -> None:
    job, _ = running(store)
    assert sweep.expire(store) == []
    lapse(store, job.id)
    (expired,) = sweep.expire(store)
    assert (expired.state, expired.fence, expired.crash_count) == (JobState.QUEUED, job.fence + 1, 1)
    assert sweep.expire(store) == []


def test_an_expired_job_that_was_asked_to_cancel_is_cancelled(store: Store) -> None:
    job, _ = running(store)
    jobs.cancel(store, TENANT, job.id)
    lapse(store, job.id)
    assert [expired.state for expired in sweep.expire(store)] == [JobState.CANCELLED]


def test_a_job_whose_trainer_keeps_dying_fails_and_says_so(store: Store) -> None:
    submit(store)
    for _ in range(CRASHES_WITHOUT_PROGRESS):
        with store.write() as connection:
            connection.execute(text("UPDATE jobs SET available_at = 0"))
        job = leases.claim(store, "worker", "cpu", 60)
        assert job is not None
        job = leases.crash(store, Lease(job.id, job.fence), "the trainer was killed by signal 9")
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error["code"] == "crash_loop"
    assert "signal 9" in job.error["message"]


def test_a_checkpoint_is_progress_and_crashes_count_anew(store: Store) -> None:
    job, lease = running(store)
    leases.crash(store, lease, "killed")
    again = leases.claim(store, "worker", "cpu", 60)
    assert again is not None
    assert again.crash_count_since_progress == 1
    after = checkpoints.record(store, Lease(job.id, again.fence), draft(1, 0.5))
    assert (after.crash_count_since_progress, after.crash_count) == (0, 1)


def test_a_released_job_waits_again_without_a_crash_on_its_record(store: Store) -> None:
    _, lease = running(store)
    released = leases.release(store, lease, "the worker is shutting down")
    assert (released.state, released.crash_count, released.release_count) == (JobState.QUEUED, 0, 1)


def test_a_job_has_come_at_least_as_far_as_its_checkpoint_and_never_falls_behind_what_was_told(store: Store) -> None:
    _, lease = running(store)
    job = checkpoints.record(store, lease, draft(2, 0.5))
    assert (job.epoch, job.step) == (2, 20)
    leases.renew(store, lease, 60, Report(epoch=4, step=45))
    job = checkpoints.record(store, lease, draft(3, 0.5))
    assert (job.epoch, job.step) == (4, 45)


def test_the_last_two_and_the_best_checkpoint_are_kept(store: Store) -> None:
    job, lease = running(store)
    for epoch, value in enumerate([0.5, 0.2, 0.4, 0.3, 0.6], start=1):
        job = checkpoints.record(store, lease, draft(epoch, value))
    assert [kept.epoch for kept in checkpoints.listed(store, job)] == [5, 4, 2]
    assert checkpoints.get(store, job, "best").epoch == 2
    assert checkpoints.get(store, job, "last").epoch == 5
    assert sorted(prefix for _, prefix in checkpoints.to_purge(store)) == ["job/1", "job/3"]
    assert job.best is not None
    assert job.best["value"] == 0.2


def test_of_equal_checkpoints_the_earliest_stays_the_best_and_is_kept_beside_the_last(store: Store) -> None:
    job, lease = running(store)
    for epoch in (1, 2, 3, 4):
        job = checkpoints.record(store, lease, draft(epoch, 0.5))
    assert job.best is not None
    assert (job.best["epoch"], job.best["checkpoint_id"]) == (1, job.best_checkpoint_id)
    assert [kept.epoch for kept in checkpoints.listed(store, job)] == [4, 3, 1]
    assert checkpoints.get(store, job, "best").epoch == 1


def test_a_checkpoint_in_mid_epoch_is_last_but_never_best(store: Store) -> None:
    job, lease = running(store)
    checkpoints.record(store, lease, draft(1, 0.5))
    job = checkpoints.record(store, lease, draft(2, 0.1, interim=True))
    assert checkpoints.get(store, job, "best").epoch == 1
    assert checkpoints.get(store, job, "last").epoch == 2


def test_a_metric_that_is_not_a_number_is_never_best(store: Store) -> None:
    job, lease = running(store)
    job = checkpoints.record(store, lease, draft(1, float("nan")))
    assert job.best is None
    assert checkpoints.record(store, lease, draft(2, 0.7)).best is not None


def test_jobs_of_workers_known_to_be_dead_go_on_at_once_and_without_a_crash_on_their_record(store: Store) -> None:
    _, stale = running(store)
    (released,) = sweep.release_all(store, "the stack was killed and started again")
    assert (released.state, released.crash_count) == (JobState.QUEUED, 0)
    assert sweep.release_all(store, "again") == []
    again = leases.claim(store, "worker-2", "cpu", 60)
    assert again is not None
    assert again.fence > stale.fence
    with pytest.raises(LostLeaseError):
        leases.renew(store, stale, 60)


def test_a_job_that_waited_too_long_fails_with_its_limit(store: Store) -> None:
    job = submit(store)
    assert sweep.time_out(store) == []
    with store.write() as connection:
        connection.execute(text("UPDATE jobs SET queue_deadline_at = 1"))
    (failed,) = sweep.time_out(store)
    assert failed.id == job.id
    assert failed.error is not None
    assert failed.error["code"] == "deadline_exceeded"
    assert "max_queue_seconds" in failed.error["message"]


def test_an_unheard_bell_is_rung_again_and_not_twice_at_once(store: Store) -> None:
    job = submit(store)
    assert sweep.ring(store) == []
    with store.write() as connection:
        connection.execute(text("UPDATE jobs SET next_ring_at = 0"))
    assert [due.id for due in sweep.ring(store)] == [job.id]
    assert sweep.ring(store) == []


def test_the_structure_refuses_a_second_result_and_a_state_that_is_none(store: Store) -> None:
    from sqlalchemy.exc import IntegrityError

    job, lease = running(store)
    leases.succeed(store, lease, {})
    with pytest.raises(IntegrityError), store.write() as connection:
        connection.execute(tables.results.insert().values(job_id=job.id, fence=9, created_at=0, body={}))
    with pytest.raises(IntegrityError), store.write() as connection:
        connection.execute(text("UPDATE jobs SET state = 'lost'"))
    with pytest.raises(IntegrityError), store.write() as connection:
        connection.execute(text("UPDATE jobs SET finished_at = NULL"))


def test_a_renewal_sent_again_after_a_lost_answer_is_written_once(store: Store) -> None:
    job, lease = running(store)
    for _ in range(2):
        renewed = leases.renew(store, lease, 60, Report(epoch=1), [Note("epoch", "epoch 1")], batch=1)
    assert [event.type for event in jobs.events(store, job.id)].count("epoch") == 1
    leases.renew(store, lease, 60, Report(epoch=2), [Note("epoch", "epoch 2")], batch=2)
    assert (renewed.told, jobs.get(store, TENANT, job.id).epoch) == (1, 2)


def test_the_next_owner_counts_its_news_anew(store: Store) -> None:
    job, lease = running(store)
    leases.renew(store, lease, 60, notes=[Note("epoch", "epoch 1")], batch=5)
    leases.release(store, lease, "shutdown")
    again = leases.claim(store, "worker-2", "cpu", 60)
    assert again is not None
    leases.renew(store, Lease(again.id, again.fence), 60, notes=[Note("epoch", "epoch 2")], batch=1)
    assert [event.message for event in jobs.events(store, job.id) if event.type == "epoch"] == ["epoch 1", "epoch 2"]


def test_a_checkpoint_recorded_again_after_a_lost_answer_is_one_checkpoint(store: Store) -> None:
    job, lease = running(store)
    once = checkpoints.record(store, lease, draft(1, 0.5))
    assert checkpoints.record(store, lease, draft(1, 0.5)) == once
    assert [kept.seq for kept in checkpoints.listed(store, job)] == [1]


def test_a_job_whose_claim_had_no_answer_is_given_back_by_its_owner_alone(store: Store) -> None:
    job, lease = running(store)
    assert leases.give_back(store, "worker-2") is None
    back = leases.give_back(store, "worker-1")
    assert back is not None
    assert (back.id, back.state, back.crash_count, back.release_count) == (job.id, JobState.QUEUED, 0, 1)
    with pytest.raises(LostLeaseError):
        leases.renew(store, lease, 60)
    assert leases.give_back(store, "worker-1") is None


def test_a_row_that_moved_since_it_was_read_is_not_written(store: Store) -> None:
    job, _ = running(store)
    stale = replace(job, version=job.version - 1)
    with pytest.raises(StoreUnavailableError, match="try again"), store.write() as connection:
        rows.save(connection, stale, replace(stale, epoch=9), Actor.WORKER, 1.0)
    assert jobs.get(store, TENANT, job.id).epoch == 0


def test_each_release_for_want_of_space_rests_twice_as_long_until_a_checkpoint_is_stored(store: Store) -> None:
    submit(store)
    rests = []
    for turn in range(4):
        with store.write() as connection:
            connection.execute(text("UPDATE jobs SET available_at = 0"))
        job = leases.claim(store, "worker", "cpu", 60)
        assert job is not None
        lease = Lease(job.id, job.fence)
        if turn == 3:
            checkpoints.record(store, lease, draft(1, 0.5))
        released = leases.release(store, lease, "no space left", 15)
        rests.append(round(released.available_at - released.updated_at))
    assert rests == [15, 30, 60, 15]
    assert released.crash_count == 0


def test_a_job_with_a_checkpoint_is_left_to_workers_of_its_class_unless_its_spec_allows_any(store: Store) -> None:
    machine = {"torch": "2.15.0", "device": "cpu", "cpu_capability": "AVX2", "precision": "float32", "threads": 2}
    for resume, others in (("bitwise", 0), ("anywhere", 1)):
        submit(store, checkpoints=SPEC.checkpoints.model_copy(update={"resume": resume}))
        job = leases.claim(store, "worker", "cpu", 60, on="torch 1.0, cpu, none")
        assert job is not None
        lease = Lease(job.id, job.fence)
        leases.renew(store, lease, 60, Report(machine=machine))
        checkpoints.record(store, lease, draft(1, 0.5))
        leases.release(store, lease, "shutdown")
        other = leases.claim(store, "worker", "cpu", 60, on="torch 2.15.0, cpu, AVX512")
        assert (other is not None) == bool(others)
        same = other or leases.claim(store, "worker", "cpu", 60, on="torch 2.15.0, cpu, AVX2")
        assert same is not None
        assert same.id == job.id


def test_bells_that_are_put_off_keep_no_job_from_being_claimed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one job is changed the others are nobody's: a claim skips what is locked."""
    submitted = [submit(store) for _ in range(3)]
    with store.write() as connection:
        connection.execute(update(tables.jobs).values(next_ring_at=1.0))
    held: list[Job | None] = []

    def rung(job: Job, now: float) -> Job | None:
        if not store.is_sqlite and not held:  # on SQLite a claim waits until this is written
            held.append(leases.claim(store, "worker-1", "cpu", 60))
        return replace(job, next_ring_at=now + 60, version=job.version + 1)

    monkeypatch.setattr("contract.store.sweep.lifecycle.rung", rung)
    rung_for = {job.id for job in sweep.ring(store)}
    claimed = {job.id for job in held if job}
    assert rung_for | claimed == {job.id for job in submitted}
    assert store.is_sqlite or len(claimed) == 1

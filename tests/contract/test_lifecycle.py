"""The pure rules of a job's life, each alone: which moves there are, and that no deed makes another."""

import dataclasses
from collections.abc import Callable

import pytest

from contract import lifecycle
from contract.errors import LostLeaseError, StateConflictError
from contract.events import RETRYABLE, FailureCode
from contract.job import HELD, MOVES, TERMINAL, Job, JobState
from contract.lifecycle import Failure, Report

NOW = 1_000.0
FAILURE = Failure(FailureCode.DIVERGED, "loss became nan", "try a lower lr")
LIMITS = {"limits": {"max_runtime_seconds": 60, "max_queue_seconds": 600}}

Deed = Callable[[Job], Job | None]
DEEDS: dict[str, Deed] = {
    "claim": lambda job: lifecycle.claim(job, "worker", NOW, 60),
    "renew": lambda job: lifecycle.renew(job, job.fence, NOW, 60, Report(step=5)),
    "checkpoint": lambda job: lifecycle.checkpoint(job, job.fence, NOW, "ckpt_1", None),
    "succeed": lambda job: lifecycle.succeed(job, job.fence, NOW),
    "fail": lambda job: lifecycle.fail(job, job.fence, NOW, FAILURE),
    "finish_cancel": lambda job: lifecycle.finish_cancel(job, job.fence, NOW),
    "cancel": lambda job: lifecycle.cancel(job, NOW),
    "pause": lambda job: lifecycle.pause(job, NOW),
    "resume": lambda job: lifecycle.resume(job, NOW),
    "release": lambda job: lifecycle.release(job, job.fence, NOW, "shutdown"),
    "crash": lambda job: lifecycle.crash(job, job.fence, NOW, "killed"),
    "expire": lambda job: lifecycle.expire(job, NOW),
    "time_out": lambda job: lifecycle.time_out(job, NOW),
}


def job(state: JobState, **changes: object) -> Job:
    """A job in this state, as far gone as makes every deed possible that the state allows."""
    held = {"owner": "worker", "lease_until": NOW - 1, "started_at": 1.0, "deadline_at": NOW - 1} if state in HELD else {}
    ended = {"finished_at": 5.0} if state in TERMINAL else {"paused_at": 5.0} if state is JobState.PAUSED else {}
    base = Job(id="job_1", tenant="t", name=None, metadata={}, spec=LIMITS, spec_sha256="", state=state, queue_deadline_at=NOW - 1, fence=3)
    return dataclasses.replace(base, **{**held, **ended, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("state", JobState)
@pytest.mark.parametrize("deed", DEEDS)
def test_a_deed_makes_an_allowed_move_or_is_refused(state: JobState, deed: str) -> None:
    before = job(state)
    try:
        after = DEEDS[deed](before)
    except (StateConflictError, LostLeaseError):
        return
    if after is None or after is before:
        return
    assert after.state is before.state or after.state in MOVES[before.state]
    assert after.version > before.version
    assert (after.owner is None) == (after.state not in HELD)
    assert (after.finished_at is not None) == (after.state in TERMINAL)
    assert (after.error is not None) == (after.state is JobState.FAILED)
    assert (after.paused_at is not None) == (after.state is JobState.PAUSED)


@pytest.mark.parametrize("state", sorted(TERMINAL))
@pytest.mark.parametrize("deed", DEEDS)
def test_a_job_that_has_ended_never_changes(state: JobState, deed: str) -> None:
    before = job(state)
    try:
        assert DEEDS[deed](before) in (None, before)
    except (StateConflictError, LostLeaseError):
        return


@pytest.mark.parametrize("deed", ["renew", "checkpoint", "succeed", "fail", "finish_cancel", "release", "crash"])
def test_a_stale_fence_has_no_say(deed: str) -> None:
    current = job(JobState.RUNNING)
    stale = dataclasses.replace(current, fence=current.fence - 1)
    calls: dict[str, Callable[[], object]] = {
        "renew": lambda: lifecycle.renew(current, stale.fence, NOW, 60, Report()),
        "checkpoint": lambda: lifecycle.checkpoint(current, stale.fence, NOW, "c", None),
        "succeed": lambda: lifecycle.succeed(current, stale.fence, NOW),
        "fail": lambda: lifecycle.fail(current, stale.fence, NOW, FAILURE),
        "finish_cancel": lambda: lifecycle.finish_cancel(current, stale.fence, NOW),
        "release": lambda: lifecycle.release(current, stale.fence, NOW, "x"),
        "crash": lambda: lifecycle.crash(current, stale.fence, NOW, "x"),
    }
    with pytest.raises(LostLeaseError):
        calls[deed]()


def test_a_claim_raises_the_fence_and_starts_the_clock_of_the_runtime_once() -> None:
    first = lifecycle.claim(job(JobState.QUEUED), "a", NOW, 60)
    assert first is not None
    assert (first.fence, first.attempt, first.deadline_at) == (4, 1, NOW + 60)
    again = lifecycle.release(first, 4, NOW + 5, "shutdown")
    second = lifecycle.claim(again, "b", NOW + 10, 60)
    assert second is not None
    assert (second.fence, second.attempt, second.started_at, second.deadline_at) == (5, 2, NOW, NOW + 60)


@pytest.mark.parametrize("changes", [{"available_at": NOW + 1}, {"cancel_requested_at": 1.0}], ids=str)
def test_a_job_that_rests_or_is_to_be_cancelled_is_not_claimed(changes: dict[str, float]) -> None:
    assert lifecycle.claim(job(JobState.QUEUED, **changes), "a", NOW, 60) is None


def test_waits_after_crashes_grow_and_end_at_a_minute() -> None:
    assert [lifecycle.backoff_seconds(n) for n in (1, 2, 3, 4, 20)] == [0.0, 2.0, 4.0, 8.0, 60.0]


def test_a_cancel_that_is_not_obeyed_in_time_ends_the_job_without_its_owner() -> None:
    running = job(JobState.RUNNING, lease_until=NOW + 1_000)
    asked = lifecycle.cancel(running, NOW)
    assert lifecycle.expire(asked, NOW + 1) is None
    ended = lifecycle.expire(asked, NOW + lifecycle.CANCEL_SECONDS + 1)
    assert ended is not None
    assert (ended.state, ended.fence) == (JobState.CANCELLED, running.fence + 1)


def test_a_queued_job_that_has_used_up_its_runtime_ends() -> None:
    overdue = job(JobState.QUEUED, started_at=1.0, deadline_at=NOW - 1)
    ended = lifecycle.time_out(overdue, NOW)
    assert ended is not None
    assert ended.error is not None
    assert "max_runtime_seconds" in ended.error["message"]


def test_only_failures_of_the_surroundings_are_worth_another_try() -> None:
    assert {FailureCode.DISK_FULL, FailureCode.DEPENDENCY_DOWN} == RETRYABLE
    assert Failure(FailureCode.DISK_FULL, "", "").as_json()["retryable"] is True
    assert FAILURE.as_json()["retryable"] is False


def test_a_pause_stops_the_clock_of_the_limits() -> None:
    waiting = job(JobState.QUEUED, started_at=1.0, deadline_at=NOW + 50, queue_deadline_at=NOW + 20)
    rested = lifecycle.pause(waiting, NOW)
    assert (rested.state, rested.paused_at) == (JobState.PAUSED, NOW)
    again = lifecycle.resume(rested, NOW + 1_000)
    assert (again.state, again.paused_at, again.available_at) == (JobState.QUEUED, None, NOW + 1_000)
    assert (again.deadline_at, again.queue_deadline_at) == (NOW + 1_050, NOW + 1_020)


@pytest.mark.parametrize("deed", ["pause", "resume"])
@pytest.mark.parametrize("state", JobState)
def test_pause_and_resume_repeated_are_harmless_and_otherwise_answered_by_state(state: JobState, deed: str) -> None:
    before = job(state, **({"paused_at": 1.0} if state is JobState.PAUSED else {}))
    there = {"pause": {JobState.PAUSING, JobState.PAUSED}, "resume": {JobState.QUEUED, JobState.RUNNING}}[deed]
    leads = {
        "pause": {JobState.QUEUED: JobState.PAUSED, JobState.RUNNING: JobState.PAUSING},
        "resume": {JobState.PAUSED: JobState.QUEUED},
    }[deed]
    if state in there:
        assert getattr(lifecycle, deed)(before, NOW) is before
    elif state in leads:
        assert getattr(lifecycle, deed)(before, NOW).state is leads[state]
    else:
        with pytest.raises(StateConflictError, match=state.value):
            getattr(lifecycle, deed)(before, NOW)


def test_a_worker_that_dies_while_it_pauses_leaves_the_job_paused() -> None:
    pausing = lifecycle.pause(job(JobState.RUNNING), NOW)
    assert pausing.state is JobState.PAUSING
    for rested in (lifecycle.expire(pausing, NOW), lifecycle.crash(pausing, pausing.fence, NOW, "killed")):
        assert rested is not None
        assert (rested.state, rested.paused_at, rested.owner) == (JobState.PAUSED, NOW, None)


def test_a_job_that_runs_out_of_time_while_it_waits_says_what_it_waited_for() -> None:
    waiting = job(JobState.QUEUED, started_at=1.0, deadline_at=NOW - 1, status_reason="no space left", resumes_on="torch 2.15.0, cpu, AVX2")
    ended = lifecycle.time_out(waiting, NOW)
    assert ended is not None
    assert ended.error is not None
    assert "no space left" in ended.error["hint"]
    assert "torch 2.15.0, cpu, AVX2" in ended.error["hint"]


def test_trainers_that_hang_again_and_again_fail_the_job_as_stalled() -> None:
    hung = job(JobState.RUNNING, crash_count_since_progress=lifecycle.CRASHES_WITHOUT_PROGRESS - 1)
    failed = lifecycle.crash(hung, hung.fence, NOW, "no sign of life", FailureCode.STALLED)
    assert failed.error is not None
    assert failed.error["code"] == "stalled"
    assert "RIDGELINE_STALL_SECONDS" in failed.error["hint"]


def test_a_failure_after_a_cancel_was_asked_for_is_a_cancel() -> None:
    asked = lifecycle.cancel(job(JobState.RUNNING), NOW)
    ended = lifecycle.fail(asked, asked.fence, NOW + 1, FAILURE)
    assert (ended.state, ended.error, ended.status_reason) == (JobState.CANCELLED, None, "cancelled on request")
    assert (ended.owner, ended.finished_at) == (None, NOW + 1)


def test_rests_for_want_of_what_surrounds_a_job_grow_and_end_at_ten_minutes() -> None:
    def rest(releases: int) -> float:
        held = job(JobState.RUNNING, releases_since_progress=releases)
        return lifecycle.release(held, held.fence, NOW, "no space left", 15.0).available_at - NOW

    assert [rest(releases) for releases in (0, 1, 5, 6, 1_000)] == [15.0, 30.0, 480.0, 600.0, 600.0]


def test_a_ring_changes_nothing_that_a_client_or_a_worker_goes_by() -> None:
    waiting = job(JobState.QUEUED, next_ring_at=NOW)
    rung = lifecycle.rung(waiting, NOW)
    assert (rung.next_ring_at, rung.ring_seq) == (NOW + lifecycle.RING_SECONDS, 1)
    assert dataclasses.replace(rung, next_ring_at=NOW, ring_seq=0) == waiting


def test_a_resumed_job_is_rung_for_as_often_as_a_new_one() -> None:
    unheard = job(JobState.QUEUED, ring_seq=9)
    again = lifecycle.resume(lifecycle.pause(unheard, NOW), NOW + 100)
    assert (again.ring_seq, again.next_ring_at) == (0, NOW + 100 + lifecycle.RING_SECONDS)
    assert lifecycle.rung(again, NOW + 105).next_ring_at == NOW + 105 + lifecycle.RING_SECONDS

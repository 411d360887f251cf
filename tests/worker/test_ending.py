"""What becomes of a job, for each last word of its trainer and each reason to stop it."""

import pytest

from contract import events
from contract.events import RETRYABLE, FailureCode
from contract.job import Job
from worker import ending
from worker.ending import Crashed, Failed, Released, Stopping, Succeeded
from worker.process import Died

JOB = Job(id="job_1", tenant="t", name=None, metadata={}, spec={"limits": {"max_runtime_seconds": 60}}, spec_sha256="")
DIED = Died("the trainer was killed by signal 9", "")
STOPPED = events.Stopped(step=3)
FINISHED = events.Finished.model_construct(result=None)


def decide(
    last: events.Event | Died, stopping: Stopping | None = None, *, unstored: str = "", hung: str = "", is_draining: bool = False
) -> ending.Ending:
    return ending.decide(JOB, last, stopping, unstored, hung, is_draining=is_draining)


@pytest.mark.parametrize("code", FailureCode)
def test_a_failure_of_the_surroundings_rests_and_any_other_is_final(code: FailureCode) -> None:
    end = decide(events.Failed(code=code, message="m", hint="h", step=1))
    assert isinstance(end, Released if code in RETRYABLE else Failed)
    if isinstance(end, Released):
        assert end.rest_seconds == ending.REST_SECONDS


@pytest.mark.parametrize("stopping", [None, *sorted(set(Stopping) - {Stopping.DISOWNED})])
def test_a_finished_job_succeeds_whatever_it_was_told_unless_its_weights_could_not_be_stored(stopping: Stopping | None) -> None:
    assert isinstance(decide(FINISHED, stopping), Succeeded)
    assert isinstance(decide(FINISHED, stopping, unstored="no space left"), Released | Failed)


@pytest.mark.parametrize("last", [FINISHED, STOPPED, DIED, events.Failed(code=FailureCode.DIVERGED, message="m", hint="h", step=1)])
def test_an_owner_that_was_cut_off_gives_the_job_back_whatever_its_trainer_said(last: events.Event | Died) -> None:
    assert isinstance(decide(last, Stopping.DISOWNED), Released)


def test_a_trainer_that_died_by_itself_is_a_crash_and_one_that_hung_says_so() -> None:
    assert decide(DIED) == Crashed(DIED.cause)
    assert decide(DIED, Stopping.STALLED, hung="no sign of life") == Crashed("no sign of life", FailureCode.STALLED)


@pytest.mark.parametrize("stopping", [Stopping.ASKED, Stopping.DRAINING])
def test_a_trainer_that_was_killed_because_it_did_not_stop_is_no_crash(stopping: Stopping) -> None:
    assert decide(DIED, stopping) == decide(STOPPED, stopping)
    assert isinstance(decide(DIED, stopping), Released)


def test_a_trainer_that_dies_while_its_worker_shuts_down_is_no_crash() -> None:
    assert decide(DIED, is_draining=True) == Released("its worker is shutting down")


def test_a_job_that_ran_for_too_long_fails_with_its_limit() -> None:
    end = decide(STOPPED, Stopping.OVERTIME)
    assert isinstance(end, Failed)
    assert end.failure.code is FailureCode.DEADLINE_EXCEEDED


def test_a_checkpoint_that_could_not_be_stored_puts_the_job_to_rest() -> None:
    assert decide(STOPPED, Stopping.UNSTORED, unstored="no space left") == Released("no space left", ending.REST_SECONDS)

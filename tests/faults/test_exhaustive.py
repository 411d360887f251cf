"""Every state that two workers and one job can reach is visited, none breaks a promise, and the search is not blind to those that would."""

import dataclasses

import pytest

from contract import lifecycle
from tests.faults import exhaustive, planted
from tests.faults.invariants import Violation
from tests.faults.planted import Plant

LEAST_POISON_STATES = 7_000


def test_no_late_request_saves_or_breaks_a_job_that_always_dies() -> None:
    found = exhaustive.search(exhaustive.POISON, clients=False, late=1)
    assert found.states >= LEAST_POISON_STATES
    assert found.ends == {"crash_loop"}


@pytest.mark.parametrize(
    ("plant", "promise"),
    [
        (planted.forget_the_fence, "a stale owner has no say"),
        (planted.keep_the_fence_at_expiry, "the fence rises when a job is taken from its owner"),
        (planted.keep_the_fence_at_a_claim, "a fence has one owner at most"),
        (planted.publish_first, "a checkpoint that a row names has its bytes"),
        (planted.commit_while_cancelling, "no move leads from cancelling to succeeded"),
        (planted.commit_once_only, "an owner that repeats its commit hears of its success"),
        (planted.record_twice, "a checkpoint that a row names has its bytes"),
    ],
)
def test_a_fault_planted_in_the_core_is_met_by_the_search(plant: Plant, promise: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(Violation, match=promise):
        exhaustive.search(late=0)


def test_the_search_finds_that_a_job_which_always_dies_never_ends_where_crashes_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    crashed = lifecycle._crashed
    monkeypatch.setattr(lifecycle, "_crashed", lambda job, *rest: crashed(dataclasses.replace(job, crash_count_since_progress=0), *rest))
    with pytest.raises(Violation, match="every accepted job ends"):
        exhaustive.search(exhaustive.POISON, clients=False, late=0)

"""The pure core under storms and in every state it can reach; and that neither proof is blind: each planted fault is found.

One planted fault breaks no promise: a reconciler that does not wait after an outage of the database takes jobs from owners that live.
It costs them the work since their last checkpoint, and a healthy job three crashes at worst, but loses and doubles nothing.
"""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract import lifecycle
from contract.errors import LostLeaseError
from contract.job import MOVES, Job, JobState
from tests.faults import exhaustive, hands, model, simulation, swift
from tests.faults.invariants import Violation
from tests.faults.simulation import Counts

LEAST_STATES = 45_000
LEAST_POISON_STATES = 7_000
SCHEDULES = 20_000
FEW = 3_000
"""Schedules within which each planted fault is found many times over."""
ROOT = Path(__file__).parents[2]
ONLY_BY_A_DEADLINE_OR_A_FAILURE = {(JobState.QUEUED, JobState.FAILED), (JobState.PAUSING, JobState.FAILED)}
"""Moves that the search leaves to the simulation, with the deadlines and the jobs that diverge."""
ALLOWED = {(before, after) for before, afters in MOVES.items() for after in afters}
FAULTS = {
    "answer lost", "bell doubled", "bell lost", "database away", "disk full", "everything killed", "reconciler restarted", "request late",
    "request lost", "row changed between", "time passed", "trainer killed", "worker drained", "worker frozen", "worker killed",
}  # fmt: skip
ENDS = {"succeeded", "cancelled", "crash_loop", "stalled", "diverged", "deadline_exceeded"}


@pytest.fixture(scope="module")
def storms() -> Counts:
    return simulation.run(SCHEDULES)


def test_no_schedule_breaks_a_promise(storms: Counts) -> None:
    print(simulation.table(storms))
    assert storms.schedules == SCHEDULES


def test_the_schedules_make_every_move_meet_every_fault_and_come_to_every_end(storms: Counts) -> None:
    assert set(storms.moves) == ALLOWED
    assert set(storms.faults) == FAULTS
    assert set(storms.ends) == ENDS


@pytest.mark.timeout(900)  # some 90 s of a core
def test_no_state_that_two_workers_and_a_job_can_reach_breaks_a_promise(capsys: pytest.CaptureFixture[str]) -> None:
    found = exhaustive.search(late=0)
    with capsys.disabled():
        print(f"\n2 workers x 1 job, clients: {found}")
    assert found.moves == ALLOWED - ONLY_BY_A_DEADLINE_OR_A_FAILURE
    assert found.states >= LEAST_STATES
    assert found.ends == {"succeeded", "cancelled", "crash_loop"}


def test_no_late_request_saves_or_breaks_a_job_that_always_dies() -> None:
    found = exhaustive.search(exhaustive.POISON, clients=False, late=1)
    assert found.states >= LEAST_POISON_STATES
    assert found.ends == {"crash_loop"}


def test_a_schedule_is_decided_by_its_seed_alone() -> None:
    """In two processes whose sets hash otherwise. Many seeds: an order that leaks shows in few of them."""
    traces = [_traces(hash_seed) for hash_seed in ("1", "2")]
    assert traces[0] == traces[1]
    assert "claims" in traces[0]


def test_a_violation_names_the_seed_that_replays_it(monkeypatch: pytest.MonkeyPatch) -> None:
    _forget_the_fence(monkeypatch)
    with pytest.raises(Violation, match=r"--seed \d+") as first:
        simulation.run(FEW)
    seed = int(str(first.value).rsplit(" ", 1)[-1])
    with pytest.raises(Violation) as again:
        simulation.replay(seed, lambda _: None)
    assert str(again.value) == str(first.value)


def test_processes_share_the_schedules_and_add_up() -> None:
    shared, alone = simulation.release(1_500, processes=2), simulation.run(1_500)
    assert shared == alone


def test_the_swift_copy_of_a_row_is_what_replace_gives() -> None:
    job = Job(id="j", tenant="t", name=None, metadata={}, spec={"a": 1}, spec_sha256="s", fence=3)
    assert swift.replace(job, fence=4, owner="w") == dataclasses.replace(job, fence=4, owner="w")
    assert swift.replace(job) is not job
    with pytest.raises(TypeError, match="fense"):
        swift.replace(job, fense=4)


# Teeth: each fault is planted in the pure core, or in the worker or the store around it, and must be found by name.


def _forget_the_fence(patch: pytest.MonkeyPatch) -> None:
    def must_be_held(job: Job, fence: int) -> None:
        if not job.is_held:
            raise LostLeaseError("nobody holds it")

    patch.setattr(lifecycle, "_must_own", must_be_held)


def _keep_the_fence_at_expiry(patch: pytest.MonkeyPatch) -> None:
    crashed = lifecycle._crashed
    patch.setattr(lifecycle, "_crashed", lambda job, *rest: dataclasses.replace(crashed(job, *rest), fence=job.fence))


def _keep_the_fence_at_a_claim(patch: pytest.MonkeyPatch) -> None:
    claim = lifecycle.claim

    def claimed(job: Job, *rest: Any) -> Job | None:
        after = claim(job, *rest)
        return after and dataclasses.replace(after, fence=max(1, job.fence))

    patch.setattr(lifecycle, "claim", claimed)


def _ignore_crashes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lifecycle, "CRASHES_WITHOUT_PROGRESS", 10**6)


def _publish_first(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(hands, "PUBLISHING", (hands.Phase.NAMING, hands.Phase.STORING))


def _commit_while_cancelling(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lifecycle, "MOVES", {**MOVES, JobState.CANCELLING: frozenset({JobState.CANCELLED, JobState.SUCCEEDED})})


def _commit_once_only(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(model.Tables, "_is_committed", lambda *_: False)


def _record_twice(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(model.Tables, "_is_recorded", lambda *_: False)


def _write_without_guard(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(model.Tables, "_is_untouched", lambda *_: True)


Plant = Callable[[pytest.MonkeyPatch], None]


@pytest.mark.parametrize(
    ("plant", "promise"),
    [
        (_forget_the_fence, "a stale owner has no say"),
        (_keep_the_fence_at_expiry, "the fence rises when a job is taken from its owner"),
        (_keep_the_fence_at_a_claim, "a fence has one owner at most"),
        (_ignore_crashes, "every accepted job ends"),
        (_publish_first, "a checkpoint that a row names has its bytes"),
        (_commit_while_cancelling, "no move leads from cancelling to succeeded"),
        (_commit_once_only, "an owner that repeats its commit hears of its success"),
        (_record_twice, "a checkpoint that a row names has its bytes"),
        (_write_without_guard, "."),
    ],
)
def test_a_fault_planted_in_the_core_is_met_by_a_schedule(plant: Plant, promise: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(Violation, match=promise):
        simulation.run(FEW)


@pytest.mark.parametrize(
    ("plant", "promise"),
    [
        (_forget_the_fence, "a stale owner has no say"),
        (_keep_the_fence_at_expiry, "the fence rises when a job is taken from its owner"),
        (_keep_the_fence_at_a_claim, "a fence has one owner at most"),
        (_publish_first, "a checkpoint that a row names has its bytes"),
        (_commit_while_cancelling, "no move leads from cancelling to succeeded"),
        (_commit_once_only, "an owner that repeats its commit hears of its success"),
        (_record_twice, "a checkpoint that a row names has its bytes"),
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


def test_a_reconciler_that_does_not_wait_after_an_outage_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    waited = simulation.run(FEW)
    monkeypatch.setattr(simulation, "WAIT_SECONDS", 0.0)
    hasty = simulation.run(FEW)
    assert hasty.expiries > waited.expiries


def _traces(hash_seed: str) -> str:
    script = "from tests.faults import simulation\nfor seed in range(200): simulation.replay(seed)"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout

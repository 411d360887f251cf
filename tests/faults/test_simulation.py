"""The pure core under storms, and that they are not blind: each planted fault is met.

One planted fault breaks no promise: a reconciler that does not wait after an outage of the database takes jobs from owners that live.
It costs them the work since their last checkpoint, and a healthy job three crashes at worst, but loses and doubles nothing.
"""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from contract.job import MOVES, Job
from tests.faults import planted, simulation, swift
from tests.faults.invariants import Violation
from tests.faults.planted import Plant
from tests.faults.simulation import Counts

SCHEDULES = 20_000
FEW = 3_000
"""Schedules within which each planted fault is found many times over."""
ROOT = Path(__file__).parents[2]
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


def test_a_schedule_is_decided_by_its_seed_alone() -> None:
    """In two processes whose sets hash otherwise. Many seeds: an order that leaks shows in few of them."""
    traces = [_traces(hash_seed) for hash_seed in ("1", "2")]
    assert traces[0] == traces[1]
    assert "claims" in traces[0]


def test_a_violation_names_the_seed_that_replays_it(monkeypatch: pytest.MonkeyPatch) -> None:
    planted.forget_the_fence(monkeypatch)
    with pytest.raises(Violation, match=r"--seed \d+") as first:
        simulation.run(FEW)
    seed = int(str(first.value).rsplit(" ", 1)[-1])
    with pytest.raises(Violation) as again:
        simulation.replay(seed, lambda _: None)
    assert str(again.value) == str(first.value)


def test_processes_share_the_schedules_and_add_up() -> None:
    shared, alone = simulation.release(1_100, processes=2), simulation.run(1_100)
    assert shared == alone


def test_the_swift_copy_of_a_row_is_what_replace_gives() -> None:
    job = Job(id="j", tenant="t", name=None, metadata={}, spec={"a": 1}, spec_sha256="s", fence=3)
    assert swift.replace(job, fence=4, owner="w") == dataclasses.replace(job, fence=4, owner="w")
    assert swift.replace(job) is not job
    with pytest.raises(TypeError, match="fense"):
        swift.replace(job, fense=4)


@pytest.mark.parametrize(
    ("plant", "promise"),
    [
        (planted.forget_the_fence, "a stale owner has no say"),
        (planted.keep_the_fence_at_expiry, "the fence rises when a job is taken from its owner"),
        (planted.keep_the_fence_at_a_claim, "a fence has one owner at most"),
        (planted.ignore_crashes, "every accepted job ends"),
        (planted.publish_first, "a checkpoint that a row names has its bytes"),
        (planted.commit_while_cancelling, "no move leads from cancelling to succeeded"),
        (planted.commit_once_only, "an owner that repeats its commit hears of its success"),
        (planted.record_twice, "a checkpoint that a row names has its bytes"),
        (planted.write_without_guard, "."),
    ],
)
def test_a_fault_planted_in_the_core_is_met_by_a_schedule(plant: Plant, promise: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(Violation, match=promise):
        simulation.run(FEW)


def test_a_reconciler_that_does_not_wait_after_an_outage_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    waited = simulation.run(FEW // 3)
    monkeypatch.setattr(simulation, "WAIT_SECONDS", 0.0)
    hasty = simulation.run(FEW // 3)
    assert hasty.expiries > waited.expiries


def _traces(hash_seed: str) -> str:
    script = "from tests.faults import simulation\nfor seed in range(200): simulation.replay(seed)"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout

"""A step whose loss or gradient is not finite ends the job, whether the check is read at each step or only where a report is due."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from contract import events
from tests.worker.training import jobs
from worker.training import checkpoint, fit
from worker.training.faults import DivergedError
from worker.training.latch import Latch
from worker.training.run import Run
from worker.training.said import Tick

L1 = {"penalties": [{"kind": "l1", "lambda": 1e-3}]}


def _broken(tmp_path: Path, *, at: int, reads_each_step: bool, **fields: Any) -> Run:
    """A run whose gradient of `fc2.bias` becomes NaN at step number `at`, from 1, and at every later one."""
    run = jobs.run(tmp_path, **fields)
    run.latch.reads_each_step = reads_each_step
    run.named["fc2.bias"].register_hook(lambda gradient: gradient * (math.nan if run.step + 1 >= at else 1.0))
    return run


def test_on_a_cpu_no_update_follows_a_gradient_that_is_not_finite(tmp_path: Path) -> None:
    run = _broken(tmp_path, at=5, reads_each_step=True, **L1)
    assert Latch.open(run.device).reads_each_step

    with pytest.raises(DivergedError, match=r"^the gradient of fc2\.bias became nan at step 5 \(data loss [0-9.]+, l1 [0-9.]+\)$"):
        jobs.said(run)

    assert run.step == 4
    assert all(parameter.isfinite().all() for parameter in run.named.values())


def test_read_late_the_first_bad_step_is_named_and_none_of_its_weights_leaves(tmp_path: Path) -> None:
    run = _broken(tmp_path, at=5, reads_each_step=False, **L1)
    told = []

    with pytest.raises(DivergedError, match=r"^the gradient of fc2\.bias became nan at step 5 \(data loss [0-9.]+, l1 "):
        told.extend(event for event in fit.fit(run) if not isinstance(event, Tick))

    assert run.step == 6, "the epoch was trained to its end without waiting"
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]
    assert not any(isinstance(event, events.EpochDone) and event.epoch == 2 for event in told)


def test_a_checkpoint_asked_for_after_a_bad_step_is_not_written(tmp_path: Path) -> None:
    run = _broken(tmp_path, at=2, reads_each_step=False)
    jobs.to_step(run, 2)

    with pytest.raises(DivergedError, match="at step 2"):
        checkpoint.write(run, interim=True)

    assert list(tmp_path.iterdir()) == []


def test_progress_is_not_reported_after_a_bad_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "_REPORT_SECONDS", 0.0)
    run = _broken(tmp_path, at=2, reads_each_step=False)

    with pytest.raises(DivergedError, match="at step 2"):
        jobs.to_step(run, 3)
    assert run.step == 2


@pytest.mark.parametrize("bad", ["loss", "norms"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_latch_keeps_the_first_bad_step_whatever_follows(bad: str, value: float) -> None:
    latch = Latch.open(torch.device("cpu"))
    good = {"loss": torch.tensor(1.0), "norms": torch.tensor([1.0, 2.0])}
    latch.hold(1, **good)
    assert int(latch.step) == 0
    latch.hold(2, **good | {bad: good[bad] * value})
    latch.hold(3, torch.tensor(math.nan), torch.tensor([math.nan, math.nan]))
    latch.hold(4, **good)

    assert int(latch.step) == 2
    assert latch.norms.isfinite().all() == (bad == "loss")
    assert bool(latch.loss.isfinite()) == (bad == "norms")


def test_a_latch_is_asked_by_no_step_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = _broken(tmp_path, at=99, reads_each_step=False)
    waited: list[int] = []
    really = torch.Tensor.__float__
    monkeypatch.setattr(torch.Tensor, "__float__", lambda tensor: waited.append(run.step) or really(tensor))  # type: ignore[func-returns-value]
    monkeypatch.setattr(torch.Tensor, "item", lambda tensor: waited.append(run.step))
    monkeypatch.setattr(fit, "_REPORT_SECONDS", math.inf)

    jobs.to_step(run, 3)

    # The pace takes its first mark before the first step.
    assert set(waited) <= {0}


def test_a_centered_rmsprop_whose_variance_rounds_below_zero_is_told_to_leave_centering(tmp_path: Path) -> None:
    run = jobs.run(tmp_path, optimizer={"kind": "rmsprop", "centered": True, "alpha": 0.0}, precision="float32", batch_size="full")

    with pytest.raises(DivergedError) as diverged:
        jobs.said(run)

    assert "centered false" in diverged.value.hint

"""A step whose gradient is replayed from a recording is the step without one, to the bit."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.worker.training import jobs
from worker.training import captured, objective
from worker.training.captured import Recorder, Recording, Work
from worker.training.fit import fit
from worker.training.run import Run

CNN = {"kind": "cnn", "channels": [4], "hidden": [6], "norm": "batch"}
# Three steps an epoch, the last one ragged; with what sets gradients to None between steps, or exchanges the weights.
JOBS: dict[str, dict[str, Any]] = {
    "batch_norm": {"model": CNN},
    "penalties": {"penalties": [{"kind": "l1", "lambda": 1e-3, "warmup_epochs": 1}, {"kind": "l2", "lambda": 1e-2}]},
    "average": {"averaging": {"kind": "ema"}, "schedule": {"kind": "cosine"}},
    "gradient_mapping": {"tolerance": {"gradient_mapping": 1e-9}},
    "bfloat16": {"model": CNN | {"norm": "none"}, "precision": "bfloat16"},
}


def _stand_in(run: Run) -> Recorder:
    """Repeats a work as a graph does: what it wrote at first is written again in the same places, and no attribute is set."""

    def recorder(work: Work) -> Work:
        for _ in range(3):
            work()
        places = [parameter.grad for parameter in run.named.values()]

        def replay() -> None:
            work()
            for place, parameter in zip(places, run.named.values(), strict=True):
                assert place is not None
                assert parameter.grad is not None
                place.copy_(parameter.grad)
                parameter.grad = None

        return replay

    return recorder


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Has every run that may replay its steps do so, and counts them."""
    counted = []

    def of(run: Run) -> Any:
        recording = Recording(run, _stand_in(run))

        def take(indices: torch.Tensor) -> Any:
            counted.append(len(indices))
            return recording.take(indices)

        return take

    with monkeypatch.context() as patch:
        patch.setattr(captured, "of", of)
        yield counted


@pytest.mark.parametrize("name", JOBS)
def test_a_job_of_replayed_steps_ends_at_the_bits_of_the_one_without(tmp_path: Path, name: str, replays: list[int]) -> None:
    replayed = jobs.run(tmp_path / "replayed", **JOBS[name])
    jobs.said(replayed)
    count = len(replays)
    eager = jobs.run(tmp_path / "eager", **JOBS[name])
    eager.recorded = lambda indices: objective.backward(eager, *eager.data.train.take(indices))

    jobs.said(eager)

    assert (count, set(replays)) == (6, {16}), "two whole batches of each of three epochs"
    assert jobs.bits(replayed) == jobs.bits(eager)


def test_a_job_of_replayed_steps_that_is_interrupted_ends_at_the_same_bits(tmp_path: Path, replays: list[int]) -> None:
    whole = jobs.run(tmp_path / "whole", model=CNN)
    jobs.said(whole)
    begun = jobs.run(tmp_path / "begun", model=CNN)
    going = jobs.to_step(begun, 4)
    jobs.save(begun, tmp_path / "saved")
    going.close()
    resumed = jobs.run(tmp_path / "resumed", tmp_path / "saved", model=CNN)

    jobs.said(resumed)

    assert jobs.bits(resumed) == jobs.bits(whole)
    assert len(replays) == 6 + 3 + 3


@pytest.mark.parametrize(
    "fields",
    [
        {"optimizer": {"kind": "sam", "base": {"kind": "sgd", "lr": 0.1}}},
        {"batch_size": "full", "optimizer": {"kind": "gd"}},
        {"model": {"kind": "mlp", "hidden": [8], "dropout": 0.5}},
        {"dataset": jobs.TINY | {"augment": {"flip": 0.5}}},
    ],
    ids=["second_pass", "full_batch", "dropout", "augmentation"],
)
def test_a_step_that_is_not_the_same_work_each_time_is_not_recorded(tmp_path: Path, fields: dict[str, Any]) -> None:
    assert captured.is_static(jobs.run(tmp_path))
    assert not captured.is_static(jobs.run(tmp_path, **fields))


def test_a_step_that_cannot_be_recorded_is_taken_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    run, eager = (jobs.run(tmp_path / name) for name in ("run", "eager"))
    monkeypatch.setenv("RIDGELINE_CUDA_GRAPHS", "1")
    monkeypatch.setattr(captured, "Recording", refuse)
    monkeypatch.setattr(run, "device", torch.device("cuda"))  # which is all that `of` goes by
    run.recorded = captured.of(run)
    monkeypatch.setattr(run, "device", eager.device)

    for going in (fit(run), fit(eager)):
        for _ in zip(range(4), going, strict=False):
            pass

    assert run.recorded is not None
    assert "launched kernel by kernel (operation not permitted when stream is capturing)" in capsys.readouterr().err
    assert jobs.bits(run) == jobs.bits(eager)


@pytest.mark.parametrize(("device", "asked"), [("cpu", "1"), ("cuda", "0")])
def test_a_step_is_not_recorded_on_the_cpu_nor_where_the_operator_does_not_ask_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, asked: str
) -> None:
    run = jobs.run(tmp_path)
    monkeypatch.setenv("RIDGELINE_CUDA_GRAPHS", asked)
    monkeypatch.setattr(run, "device", torch.device(device))

    assert captured.of(run) is None

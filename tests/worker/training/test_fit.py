"""What a run says, in which order, and that its caller can leave it at any step."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from contract import events
from tests.worker.training import jobs
from worker.training import batches
from worker.training.faults import DivergedError
from worker.training.fit import fit
from worker.training.said import Tick
from worker.training.standing import improves


def _epochs(told: list[events.Event]) -> list[events.EpochDone]:
    return [event for event in told if isinstance(event, events.EpochDone)]


def test_a_run_says_started_then_epochs_with_their_checkpoints_then_finished(tmp_path: Path) -> None:
    told = jobs.said(jobs.run(tmp_path))

    assert [event.type for event in told if not isinstance(event, events.CheckpointWritten)] == ["started", *["epoch_done"] * 3, "finished"]
    assert [event.step for event in told if isinstance(event, events.CheckpointWritten)] == [3, 6, 9]
    for event in told:
        # A checkpoint is said when it is on disk: some time after its epoch, and before the end.
        assert not isinstance(event, events.CheckpointWritten) or _epochs(told[: told.index(event)])[event.epoch - 1].step == event.step
    assert isinstance(told[0], events.Started)
    assert (told[0].steps, told[0].step, told[0].parameters) == (9, 0, 8 * 64 + 8 + 3 * 8 + 3)
    assert [(event.epoch, event.step) for event in _epochs(told)] == [(1, 3), (2, 6), (3, 9)]
    assert all(events.from_line(events.to_line(event)) == event for event in told)


def test_every_step_and_every_part_of_an_evaluation_is_a_yield(tmp_path: Path) -> None:
    data = jobs.TINY | {"train_rows": 1100, "test_rows": 600}
    run = jobs.run(tmp_path, dataset=data, epochs=1, batch_size=100)

    steps = [run.step for said in fit(run) if isinstance(said, Tick | events.Progress)]

    # 9 steps on 880 rows, then 220 rows validated and 600 tested, 256 at a time.
    assert steps == [*range(1, 10), 9, 9, 9, 9]


def test_an_epochs_metrics_are_means_over_its_rows_with_each_term_apart(tmp_path: Path) -> None:
    penalties = [{"kind": "l1", "lambda": 1e-3}, {"kind": "l2", "lambda": 1e-2}]
    run = jobs.run(tmp_path, epochs=1, batch_size=40, optimizer={"kind": "sgd", "lr": 1e-9}, penalties=penalties, precision="float64")

    metrics = _epochs(jobs.said(run))[0].metrics

    images, classes = run.data.train.between(0, 40)
    logits = run.model(images)
    weights = [parameter for name, parameter in run.named.items() if name.endswith("weight")]
    l1 = 1e-3 * sum(weight.abs().sum().item() for weight in weights)
    l2 = 1e-2 / 2 * sum(weight.square().sum().item() for weight in weights)
    loss = torch.nn.functional.cross_entropy(logits, classes).item()
    expected = {
        "train.loss": loss,
        "train.accuracy": (logits.argmax(1) == classes).double().mean().item(),
        "train.penalty.l1": l1,
        "train.penalty.l2": l2,
        "train.penalty": l1 + l2,
        "train.objective": loss + l1 + l2,
        "val.objective": metrics["val.loss"] + l1 + l2,
        "lr": 1e-9,
        "weights.zeros": 0.0,
    }
    assert {name: metrics[name] for name in expected} == pytest.approx(expected, rel=1e-6)
    assert metrics.keys() == {*expected, "val.loss", "val.accuracy", "val.nll", "val.brier", "val.ece", "samples_per_second"}


def test_the_loss_of_an_epoch_weighs_a_ragged_last_batch_by_its_rows(tmp_path: Path) -> None:
    still: dict[str, Any] = {"epochs": 1, "optimizer": {"kind": "sgd", "lr": 1e-12}, "precision": "float64"}
    ragged = _epochs(jobs.said(jobs.run(tmp_path / "ragged", batch_size=16, **still)))[0].metrics
    whole = _epochs(jobs.said(jobs.run(tmp_path / "whole", batch_size=40, **still)))[0].metrics

    assert ragged["train.loss"] == pytest.approx(whole["train.loss"], rel=1e-9)


def test_an_epoch_tells_the_rate_of_its_last_step(tmp_path: Path) -> None:
    run = jobs.run(tmp_path, schedule={"kind": "cosine", "min_factor": 0.1})
    told = [event.metrics["lr"] for event in jobs.said(run) if isinstance(event, events.EpochDone)]

    assert told == [run.lr(step) for step in (2, 5, 8)]
    assert len(set(told)) == 3


def test_without_held_out_rows_there_is_no_validation_metric(tmp_path: Path) -> None:
    told = jobs.said(jobs.run(tmp_path, dataset=jobs.TINY | {"validation_fraction": 0}))

    assert not any(name.startswith("val.") for epoch in _epochs(told) for name in epoch.metrics)


def test_a_full_batch_step_is_the_gradient_over_the_whole_set_however_it_is_parted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fields: dict[str, Any] = {"optimizer": {"kind": "gd"}, "batch_size": "full", "precision": "float64", "epochs": 4}
    whole = jobs.run(tmp_path / "whole", **fields)
    told = jobs.said(whole)
    monkeypatch.setattr(batches, "CHUNK", 7)
    parted = jobs.run(tmp_path / "parted", **fields)
    jobs.said(parted)

    assert [event.step for event in _epochs(told)] == [1, 2, 3, 4]
    for name, parameter in whole.named.items():
        assert torch.allclose(parameter, parted.named[name], rtol=0, atol=1e-14)


def test_the_result_is_that_of_the_last_weights_and_names_the_best_epoch(tmp_path: Path) -> None:
    run = jobs.run(tmp_path, checkpoints={"monitor": "val.accuracy"})
    told = jobs.said(run)
    assert isinstance(told[-1], events.Finished)
    result = told[-1].result

    images, classes = run.data.test.between(0, 20)
    predicted = run.model(images).argmax(1)
    accuracies = [event.metrics["val.accuracy"] for event in _epochs(told)]
    assert result.metrics["test.accuracy"] == (predicted == classes).double().mean().item()
    assert result.confusion == tuple(
        tuple(int(((classes == true) & (predicted == guess)).sum()) for guess in range(3)) for true in range(3)
    )
    assert result.best_epoch == accuracies.index(max(accuracies)) + 1
    assert result.best_metrics == _epochs(told)[result.best_epoch - 1].metrics
    assert (result.stop_reason, result.epochs, result.steps, result.resumed_at_steps) == ("epochs", 3, 9, ())
    assert [layer.name for layer in result.layers] == ["fc1", "fc2"]
    assert set(result.versions) == {"ridgeline", "python", "torch", "torchvision", "numpy"}
    assert set(result.timings) == {"load", "train", "evaluate", "checkpoint"}
    assert result.samples_per_second > 0


def test_early_stopping_ends_a_job_that_stops_improving(tmp_path: Path) -> None:
    stopping = {"monitor": "train.loss", "patience": 2, "min_delta": 1e6}

    run = jobs.run(tmp_path, epochs=50, early_stopping=stopping, checkpoints={"every_epochs": 50, "monitor": "train.loss", "mode": "max"})
    told = jobs.said(run)

    assert isinstance(told[-1], events.Finished)
    assert (told[-1].result.stop_reason, told[-1].result.epochs) == ("early_stopping", 3)
    assert isinstance(told[-2], events.CheckpointWritten), "the last state is kept however a job ends"


@pytest.mark.parametrize(
    ("value", "best", "mode", "min_delta", "expected"),
    [
        (1.0, 2.0, "min", 0.0, True),
        (2.0, 2.0, "min", 0.0, False),
        (1.5, 2.0, "min", 0.5, False),
        (3.0, 2.0, "max", 0.5, True),
        (1.0, 2.0, "max", 0.0, False),
        (math.nan, 2.0, "min", 0.0, False),
        (9.0, math.nan, "min", 0.0, True),
        (math.nan, math.nan, "max", 0.0, False),
    ],
)
def test_an_improvement_is_strict_and_nothing_is_worse_than_nan(
    value: float, best: float, mode: Any, min_delta: float, *, expected: bool
) -> None:
    assert improves(value, best, mode, min_delta) is expected


def test_a_checkpoint_is_written_every_so_many_epochs_at_each_new_best_and_at_the_end(tmp_path: Path) -> None:
    # The training loss falls from epoch to epoch, so that under `max` the first epoch is the only best one.
    policy = {"every_epochs": 4, "monitor": "train.loss", "mode": "max"}
    told = jobs.said(jobs.run(tmp_path, epochs=6, checkpoints=policy, optimizer={"kind": "adam", "lr": 0.01}))

    assert [event.epoch for event in told if isinstance(event, events.CheckpointWritten)] == [1, 4, 6]


@pytest.mark.parametrize("optimizer", [{"kind": "sgd", "lr": 10.0, "momentum": 0.99}, {"kind": "gd", "lr": 10.0}], ids=["sgd", "gd"])
def test_a_diverging_job_ends_before_the_bad_step_and_names_it_with_a_remedy(tmp_path: Path, optimizer: dict[str, Any]) -> None:
    fields = {
        "loss": {"kind": "half_mse"},
        "optimizer": optimizer,
        "epochs": 200,
        "batch_size": "full" if optimizer["kind"] == "gd" else 16,
    }
    run = jobs.run(tmp_path, model={"kind": "linear"}, checkpoints={"every_epochs": 200, "monitor": "train.loss", "mode": "max"}, **fields)

    with pytest.raises(DivergedError, match=r"at step [0-9]+") as caught:
        jobs.said(run)

    assert f"at step {run.step + 1} (data loss " in str(caught.value)
    assert "became inf" in str(caught.value) or "became nan" in str(caught.value)
    assert all(parameter.isfinite().all() for parameter in run.named.values())


def test_a_non_finite_gradient_is_named(tmp_path: Path) -> None:
    run = jobs.run(tmp_path)
    going = jobs.to_step(run, 1)
    run.named["fc2.bias"].register_hook(lambda gradient: gradient * math.nan)

    with pytest.raises(DivergedError, match=r"the gradient of fc2\.bias became nan at step 2"):
        next(going)


def test_a_last_step_that_breaks_the_weights_is_not_a_success(tmp_path: Path) -> None:
    run = jobs.run(tmp_path, epochs=1)
    going = jobs.to_step(run, 3)
    with torch.no_grad():
        run.named["fc1.weight"][0, 0] = math.inf

    with pytest.raises(DivergedError, match=r"fc1\.weight is no longer finite after step 3"):
        next(going)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(tmp_path: Path) -> None:
    def final(folder: str, seed: int) -> dict[str, bytes]:
        run = jobs.run(tmp_path / folder, model=jobs.CONVOLUTIONAL, seed=seed, epochs=1)
        jobs.said(run)
        return jobs.bits(run)

    first = final("first", 1)
    torch.manual_seed(99)
    assert final("second", 1) == first
    assert final("third", 2) != first


def test_a_deterministic_job_leaves_torch_as_it_was(tmp_path: Path) -> None:
    run = jobs.run(tmp_path, deterministic=True)
    going = fit(run)
    next(going)
    assert torch.are_deterministic_algorithms_enabled()

    going.close()

    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float64"])
def test_weights_are_kept_in_float32_or_float64(tmp_path: Path, precision: str) -> None:
    run = jobs.run(tmp_path, precision=precision, epochs=1, model=jobs.CONVOLUTIONAL)

    result = jobs.result(run)

    assert result.machine.precision == precision
    wanted = torch.float64 if precision == "float64" else torch.float32
    assert {parameter.dtype for parameter in run.model.parameters()} == {wanted}
    assert math.isfinite(result.metrics["test.loss"])


def test_a_penalty_too_strong_for_its_step_is_named_in_the_remedy(tmp_path: Path) -> None:
    run = jobs.run(tmp_path, optimizer={"kind": "sgd", "lr": 10.0}, penalties=[{"kind": "l2", "lambda": 1e6}], epochs=20)
    with pytest.raises(DivergedError) as caught:
        jobs.said(run)
    assert caught.value.hint == "try lr 1 in place of 10, or λ well below 1e+06"

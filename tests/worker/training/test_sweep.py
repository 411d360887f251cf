"""Everything that a spec can say, kind by kind over the unions themselves: it builds, learns, reports its terms, and resumes to the bit.

A kind that is added to a union is in here without another line; one that needs a field to be valid says so in `NEEDED`.
"""

from math import isfinite
from pathlib import Path
from typing import Any, get_args

import pytest

from contract import events
from contract.spec import JobSpec, check, losses, models, optimizers, penalties, schedules
from tests.worker.training import jobs


def _kinds(union: Any) -> dict[str, type[Any]]:
    """The classes of a family's union by their `kind`."""
    return {each.model_fields["kind"].default: each for each in get_args(get_args(union)[0])}


MODELS, LOSSES, OPTIMIZERS = _kinds(models.Model), _kinds(losses.Loss), _kinds(optimizers.Optimizer)
SCHEDULES, PENALTIES = _kinds(schedules.Schedule), _kinds(penalties.Penalty)

SMALL = {"kind": "cnn", "channels": [4], "hidden": [6]}
# Under `max` a falling loss makes the first epoch the best one, and one checkpoint less is written: a large network's takes seconds.
QUIET = {"every_epochs": 2, "monitor": "train.loss", "mode": "max"}
TREATMENTS: dict[str, dict[str, Any]] = {
    "label_noise": {"label_noise": 0.1},
    "missing_labels": {"missing_labels": 0.1},
    "missing_pixels": {"missing_pixels": 0.1},
    "flip": {"augment": {"flip": 0.5}},
    "crop": {"augment": {"crop": 1}},
    "erase": {"augment": {"erase": 0.5}},
}
# What a kind cannot do without, and rates at which a few steps on tiny data show that it learns.
NEEDED: dict[str, dict[str, Any]] = {
    "sam": {"base": {"kind": "sgd", "lr": 0.05}},
    "gd": {"lr": 0.3},
    "sgd": {"lr": 0.05},
    "momentum_ema": {"lr": 0.05},
    "max_norm": {"max_norm": 0.5},
}


def _of(kind: str, classes: dict[str, type[Any]], **fields: Any) -> dict[str, Any]:
    made = {"kind": kind, **NEEDED.get(kind, {}), **fields}
    return {name: value for name, value in made.items() if name != "lambda" or "lambda_" in classes[kind].model_fields}


def _prove(tmp_path: Path, **fields: Any) -> list[events.Metrics]:
    """Trains the job through and once more with an interruption in mid-epoch; both leave the same bits. Gives each epoch's metrics."""
    fields = {"model": SMALL, "precision": "float32", "epochs": 4, **fields}
    whole = jobs.run(tmp_path / "whole", **fields)
    said = jobs.said(whole)
    assert isinstance(said[-1], events.Finished)
    assert any(isinstance(event, events.CheckpointWritten) for event in said)

    halted = jobs.run(tmp_path / "halted", **fields)
    jobs.to_step(halted, whole.steps_per_epoch + 1)
    jobs.save(halted, tmp_path / "saved")
    resumed = jobs.run(tmp_path / "resumed", tmp_path / "saved", **fields)
    last = jobs.said(resumed)[-1]

    assert isinstance(last, events.Finished)
    assert jobs.bits(resumed) == jobs.bits(whole)
    epochs = [event.metrics for event in said if isinstance(event, events.EpochDone)]
    assert all(isfinite(value) for metrics in epochs for value in metrics.values())
    return epochs


def _learns(epochs: list[events.Metrics]) -> bool:
    return min(metrics["train.objective"] for metrics in epochs[1:]) < epochs[0]["train.objective"]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("model", MODELS)
def test_every_model_learns_with_every_loss(tmp_path: Path, model: str, loss: str) -> None:
    assert _learns(_prove(tmp_path, model=_of(model, MODELS), loss=_of(loss, LOSSES), **_briefly(model)))


@pytest.mark.parametrize("model", MODELS)
def test_every_model_learns_real_targets(tmp_path: Path, model: str) -> None:
    data = {**jobs.TINY, "targets": "real"}

    epochs = _prove(tmp_path, model=_of(model, MODELS), loss={"kind": "half_mse"}, dataset=data, **_briefly(model))

    assert _learns(epochs)
    assert "val.accuracy" not in epochs[0]


@pytest.mark.parametrize("loss", sorted(set(LOSSES) - {"half_mse"}))
def test_a_loss_over_classes_is_refused_on_real_targets_with_the_remedy(loss: str) -> None:
    spec = JobSpec.model_validate({**jobs.DEFAULTS, "dataset": {**jobs.TINY, "targets": "real"}, "loss": _of(loss, LOSSES)})

    (fault,) = check.faults(spec)

    assert fault.pointer == "/loss/kind"
    assert loss in fault.message
    assert "half_mse" in fault.message


@pytest.mark.parametrize("treatment", TREATMENTS)
def test_every_treatment_of_the_data_leaves_something_to_learn(tmp_path: Path, treatment: str) -> None:
    assert _learns(_prove(tmp_path, dataset=jobs.TINY | {"channels": 3} | TREATMENTS[treatment]))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_moves_the_rate_of_a_job_that_learns(tmp_path: Path, schedule: str) -> None:
    epochs = _prove(tmp_path, schedule=_of(schedule, SCHEDULES, warmup_epochs=1.0), optimizer={"kind": "adam", "lr": 0.01})

    assert _learns(epochs)
    assert all(0 <= metrics["lr"] <= 0.01 for metrics in epochs)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_learns(tmp_path: Path, optimizer: str) -> None:
    assert _learns(_prove(tmp_path, optimizer=_of(optimizer, OPTIMIZERS), batch_size=_batch(optimizer)))


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_penalty_works_with_every_optimizer_or_is_refused_with_the_reason(tmp_path: Path, optimizer: str, penalty: str) -> None:
    fields = {
        "optimizer": _of(optimizer, OPTIMIZERS),
        "penalties": [_of(penalty, PENALTIES, **{"lambda": 1e-3})],
        "batch_size": _batch(optimizer),
    }
    faults = check.faults(JobSpec.model_validate({**jobs.DEFAULTS, "model": SMALL, **fields}))
    if faults:
        (fault,) = faults
        assert fault.pointer.startswith("/penalties/0")
        assert penalty in fault.message
        assert optimizer in fault.message
        assert any(word in fault.message for word in ("use ", "take ", "drop "))
        return

    epochs = _prove(tmp_path, **fields)

    assert _learns(epochs)
    for metrics in epochs:
        terms = {name: value for name, value in metrics.items() if name.startswith("train.penalty.")}
        said = {name for name in metrics if name.endswith(f".{penalty}")}
        assert len(said) == 1
        assert metrics["train.objective"] == pytest.approx(metrics["train.loss"] + sum(terms.values()), rel=1e-12)


def _batch(optimizer: str) -> int | str:
    return "full" if optimizer in {"gd", "lbfgs"} else 16


def _briefly(model: str) -> dict[str, Any]:
    # No momentum, so that a large network's checkpoint is small; squares on its unscaled outputs grow at a shallow one's rate.
    return {"optimizer": {"kind": "sgd", "lr": 1e-3 if model == "resnet18" else 0.03}, "checkpoints": QUIET, "epochs": 2}

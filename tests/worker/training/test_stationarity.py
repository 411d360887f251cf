"""A job with a tolerance stops where its penalised objective is stationary, and not before."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso

from contract import events
from tests.worker.training import jobs
from worker.training import batches, weights
from worker.training.fit import fit
from worker.training.run import Run
from worker.training.said import Tick
from worker.training.stationarity import gradient_mapping

REAL = {
    "kind": "fake",
    "targets": "real",
    "train_rows": 120,
    "test_rows": 1,
    "height": 4,
    "width": 5,
    "outputs": 3,
    "noise": 1.0,
    "validation_fraction": 0,
}
LASSO: dict[str, Any] = {
    "dataset": REAL,
    "model": {"kind": "linear"},
    "loss": {"kind": "half_mse"},
    "optimizer": {"kind": "gd", "lr": 0.3},
    "batch_size": "full",
    "penalties": [{"kind": "l1", "lambda": 0.1}],
    "precision": "float64",
    "checkpoints": {"every_epochs": 10_000, "monitor": "train.loss", "mode": "max"},
}


def _now(run: Run) -> float:
    going = gradient_mapping(run)
    try:
        while True:
            next(going)
    except StopIteration as done:
        return float(done.value)


def test_a_lasso_stops_by_itself_at_scikit_learns_optimum_and_never_before(tmp_path: Path) -> None:
    run = jobs.run(tmp_path, **LASSO, epochs=10_000, tolerance={"gradient_mapping": 1e-9})
    told = jobs.said(run)

    norms = [event.metrics["train.gradient_mapping"] for event in told if isinstance(event, events.EpochDone)]
    assert isinstance(told[-1], events.Finished)
    assert told[-1].result.stop_reason == "tolerance"
    assert norms[-1] <= 1e-9 < min(norms[:-1])
    X, y = run.data.train.between(0, 120)[0].flatten(1).numpy(), run.data.train.targets.numpy()
    expected = np.stack([Lasso(0.1, tol=1e-14, max_iter=100_000).fit(X, y[:, output]).coef_ for output in range(3)])
    found = run.named["fc1.weight"].detach().numpy()
    assert np.abs(found - expected).max() <= 1e-8
    assert np.array_equal(found == 0, expected == 0)
    assert (found == 0).any()


def test_without_a_proximal_penalty_it_is_the_norm_of_the_whole_gradient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "CHUNK", 7)
    run = jobs.run(tmp_path, precision="float64", penalties=[{"kind": "l2", "lambda": 0.3}])
    images, classes = run.data.train.between(0, 40)
    objective = torch.nn.functional.cross_entropy(run.model(images), classes)
    objective = objective + 0.15 * sum((run.named[name].square().sum() for name in ("fc1.weight", "fc2.weight")), torch.zeros(()))
    gradient = torch.autograd.grad(objective, list(run.named.values()))

    expected = torch.cat([each.flatten() for each in gradient]).norm().item()
    for parameter in run.named.values():
        parameter.grad = torch.ones_like(parameter)  # what the last step has left

    assert _now(run) == pytest.approx(expected, rel=1e-10)


def test_a_lambda_that_is_still_warming_up_counts_in_full(tmp_path: Path) -> None:
    penalties = [{"kind": "l1", "lambda": 0.1}, {"kind": "l2", "lambda": 0.5}]
    rising = jobs.run(tmp_path, **LASSO | {"penalties": [{**each, "warmup_epochs": 5} for each in penalties]}, epochs=10)
    full = jobs.run(tmp_path, **LASSO | {"penalties": penalties}, epochs=10)

    assert _now(rising) == _now(full)


def test_it_is_euclidean_whatever_the_metric_of_the_optimizer(tmp_path: Path) -> None:
    adam = jobs.run(tmp_path, **LASSO | {"optimizer": {"kind": "adam", "lr": 0.3}}, epochs=2)
    jobs.to_step(adam, 1)
    plain = jobs.run(tmp_path, **LASSO)
    plain.model.load_state_dict(adam.model.state_dict())

    assert _now(adam) == _now(plain)


def test_it_is_taken_at_the_weights_that_are_given_away(tmp_path: Path) -> None:
    averaged = jobs.run(tmp_path, **LASSO, epochs=5, averaging={"kind": "ema", "decay": 0.9})
    jobs.to_step(averaged, 4)
    plain = jobs.run(tmp_path, **LASSO)
    plain.model.load_state_dict(weights.given_away(averaged))

    assert _now(averaged) == _now(plain)
    assert _now(averaged) != _now(jobs.run(tmp_path, **LASSO))


def test_float32_weights_are_moved_in_float64(tmp_path: Path) -> None:
    fields = LASSO | {"optimizer": {"kind": "gd", "lr": 1e-6}, "epochs": 1}
    single, double = jobs.run(tmp_path, **fields | {"precision": "float32"}), jobs.run(tmp_path, **fields)

    # At this lr, θ - lr·g in float32 would leave two digits of the gradient.
    assert _now(single) == pytest.approx(_now(double), rel=1e-5)


@pytest.mark.parametrize("averaging", [None, {"kind": "ema", "decay": 0.9}], ids=["plain", "averaged"])
def test_the_measurement_changes_no_bit_of_the_training_and_can_be_left_in_the_middle(tmp_path: Path, averaging: Any) -> None:
    fields: dict[str, Any] = {"model": jobs.CONVOLUTIONAL, "penalties": [{"kind": "l1", "lambda": 1e-3}], "averaging": averaging}
    plain = jobs.run(tmp_path / "plain", **fields)
    jobs.said(plain)
    measured = jobs.run(tmp_path / "measured", **fields, tolerance={"gradient_mapping": 1e-9})
    going = fit(measured)
    for said in going:
        if isinstance(said, Tick) and measured.step == 4:
            before = jobs.bits(measured)
            measuring = gradient_mapping(measured)
            next(measuring)
            assert jobs.bits(measured) == before
            measuring.close()
            _now(measured)
            assert jobs.bits(measured) == before
            assert all(parameter.grad is None for parameter in measured.named.values())
            measured.model.train()

    assert jobs.bits(measured) == jobs.bits(plain)

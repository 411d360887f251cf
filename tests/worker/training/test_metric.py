"""A proximal step is taken in the metric of the step it follows: its threshold is a movement, and its fixed point the penalised optimum."""

from math import isfinite
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from sklearn.linear_model import Lasso
from torch import nn

from contract.spec import optimizers
from tests.worker.training import convex, jobs
from worker.training import optimizers as stepping
from worker.training import step
from worker.training.optimizers import metric

OPTIMIZER: TypeAdapter[optimizers.Optimizer] = TypeAdapter(optimizers.Optimizer)
MEMBERS = [member() for member in get_args(get_args(optimizers.Optimizer)[0])]

DIAGONAL: dict[str, dict[str, Any]] = {
    "gd": {"kind": "gd"},
    "sgd": {"kind": "sgd"},
    "heavy_ball": {"kind": "sgd", "momentum": 0.9},
    "dampened": {"kind": "sgd", "momentum": 0.9, "dampening": 0.5},
    "nesterov": {"kind": "sgd", "momentum": 0.9, "nesterov": True},
    "momentum_ema": {"kind": "momentum_ema"},
    "adam": {"kind": "adam"},
    "amsgrad": {"kind": "adam", "amsgrad": True},
    "adamw": {"kind": "adamw", "weight_decay": 0.0},
    "nadam": {"kind": "nadam"},
    "radam": {"kind": "radam"},
    "rmsprop": {"kind": "rmsprop"},
    "rmsprop_momentum": {"kind": "rmsprop", "momentum": 0.8, "alpha": 0.9},
    "rmsprop_centered": {"kind": "rmsprop", "centered": True},
    "adagrad": {"kind": "adagrad", "lr_decay": 0.01},
    "adadelta": {"kind": "adadelta"},
    "adamax": {"kind": "adamax"},
    "sam": {"kind": "sam", "base": {"kind": "rmsprop"}},
}


def _steadily(fields: dict[str, Any], steps: int) -> tuple[float, float]:
    """How far the last of `steps` steady gradients of size λ moves a weight, and the threshold for λ after it."""
    lam, lr = 0.3, 0.01
    spec = OPTIMIZER.validate_python(fields | {"base": {**fields["base"], "lr": lr}} if fields["kind"] == "sam" else {**fields, "lr": lr})
    parameter = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = stepping.build(spec, [parameter])
    asked = metric.of(spec, optimizer)
    for _ in range(steps):
        before = parameter.detach().clone()
        parameter.grad = torch.full((1,), lam, dtype=torch.float64)
        optimizer.step()
        threshold = asked([parameter], lr * lam)
    return (before - parameter.detach()).item(), threshold if isinstance(threshold, float) else threshold[0].item()


@pytest.mark.parametrize("name", DIAGONAL)
def test_a_threshold_is_the_distance_that_a_steady_gradient_of_size_lambda_moves_a_weight(name: str) -> None:
    moved, threshold = _steadily(DIAGONAL[name], steps=400)

    assert threshold == pytest.approx(moved, rel=1e-9)


# Those that average gradients without correcting for the zeros they begin with move less at first.
@pytest.mark.parametrize("name", sorted(DIAGONAL.keys() - {"heavy_ball", "dampened", "nesterov", "momentum_ema", "rmsprop_momentum"}))
@pytest.mark.parametrize("steps", [1, 2, 5, 6, 7])
def test_it_is_so_from_the_first_step_on_and_while_radam_is_not_rectified(name: str, steps: int) -> None:
    moved, threshold = _steadily(DIAGONAL[name], steps)

    assert threshold == pytest.approx(moved, rel=1e-9)


def test_each_optimizer_either_has_a_metric_or_says_why_not() -> None:
    with_metric = {member.kind for member in MEMBERS if member.no_metric is None}

    assert with_metric == {fields["kind"] for fields in DIAGONAL.values()}
    for member in MEMBERS:
        if member.no_metric is not None:
            assert member.kind in member.no_metric
            parameter = nn.Parameter(torch.zeros(2, 2))
            built = stepping.build(member, [parameter, nn.Parameter(torch.zeros(2, 2))])
            with pytest.raises(ValueError, match=member.kind):
                metric.of(member, built)([parameter], 1.0)


REAL = {
    "kind": "fake",
    "train_rows": 120,
    "test_rows": 1,
    "height": 4,
    "width": 5,
    "outputs": 3,
    "targets": "real",
    "noise": 1.0,
    "validation_fraction": 0,
}
LAMBDA = 0.1
STEPS = 700
CONVERGING: dict[str, dict[str, Any]] = {
    "adam": {"kind": "adam", "lr": 0.03},
    "amsgrad": {"kind": "adam", "lr": 0.03, "amsgrad": True},
    "adamw": {"kind": "adamw", "lr": 0.03, "weight_decay": 0.0},
    "nadam": {"kind": "nadam", "lr": 0.03},
    "radam": {"kind": "radam", "lr": 0.03},
    "rmsprop": {"kind": "rmsprop", "lr": 0.01},
    "adagrad": {"kind": "adagrad", "lr": 0.3},
    "adamax": {"kind": "adamax", "lr": 0.03},
    "adadelta": {"kind": "adadelta", "lr": 1.0, "eps": 1e-4},
    "sam": {"kind": "sam", "base": {"kind": "adam", "lr": 0.03}, "rho": 1e-9},
}


@pytest.mark.parametrize("name", CONVERGING)
def test_a_proximal_step_in_the_metric_reaches_the_lasso_and_its_support(tmp_path: Path, name: str) -> None:
    run = jobs.run(
        tmp_path,
        dataset=REAL,
        model={"kind": "linear"},
        loss={"kind": "half_mse"},
        optimizer=CONVERGING[name],
        schedule={"kind": "cosine", "warmup_epochs": 10},
        batch_size="full",
        penalties=[{"kind": "l1", "lambda": LAMBDA}],
        precision="float64",
        epochs=STEPS,
    )
    X, Y = convex.arrays(run)
    found = [Lasso(LAMBDA, tol=1e-14, max_iter=100_000).fit(X, Y[:, output]) for output in range(3)]
    best, intercepts = np.stack([each.coef_ for each in found]), np.array([each.intercept_ for each in found])

    for epoch in range(STEPS):
        list(step.take(run, None))
        run.standing.epoch, run.standing.batch = epoch + 1, 0

    weight, bias = run.named["fc1.weight"].detach().numpy(), run.named["fc1.bias"].detach().numpy()
    gap = _objective(X, Y, weight, bias) - _objective(X, Y, best, intercepts)
    assert abs(gap) <= 1e-10
    assert 0 < (best == 0).sum() < best.size
    assert np.array_equal(weight == 0, best == 0)


def _objective(X: np.ndarray, Y: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> float:
    return float(((X @ weight.T + bias - Y) ** 2).sum() / (2 * len(X)) + LAMBDA * np.abs(weight).sum())


LEAST: dict[str, dict[str, Any]] = {
    **{kind: {"optimizer": {"kind": kind, "eps": 1e-30}} for kind in ("adam", "rmsprop", "adagrad", "adadelta", "adamax")},
    "forgetful adadelta": {"optimizer": {"kind": "adadelta", "rho": 1e-6, "eps": 1e-30}},
    "rate": {"optimizer": {"kind": "adam", "lr": 1e-40}, "penalties": [{"kind": "mcp", "lambda": 1e6}]},
    "schedule_free": {"optimizer": {"kind": "schedule_free", "betas": [1e-3, 0.0]}, "penalties": []},
    "loss": {"loss": {"kind": "gce", "q": 1e-6}},
}


@pytest.mark.parametrize("name", LEAST)
def test_the_least_a_spec_may_ask_for_is_still_a_number_to_weights_that_have_no_gradient(tmp_path: Path, name: str) -> None:
    # Sixty-four units on so few rows: some are dead, and the gradient of their weights is exactly 0.
    fields = {"model": {"kind": "mlp", "hidden": [64, 64]}, "penalties": [{"kind": "elastic_net", "lambda": 1e-3, "l1_ratio": 1}]}

    result = jobs.result(jobs.run(tmp_path, **{**fields, "precision": "float32", **LEAST[name]}))

    assert all(isfinite(value) for value in result.metrics.values())
    assert result.metrics["train.loss"] > 0

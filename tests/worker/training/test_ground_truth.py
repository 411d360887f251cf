"""Trained to the end, a penalised job reaches the optimum that scikit-learn finds for the same problem."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import ElasticNet, Lasso, LogisticRegression, MultiTaskLasso, Ridge

from tests.worker.training import convex, jobs
from worker.training.fit import fit
from worker.training.run import Run

CLASSES = {"kind": "fake", "train_rows": 120, "test_rows": 1, "height": 4, "width": 5, "outputs": 3, "noise": 2.0, "validation_fraction": 0}
REAL = CLASSES | {"targets": "real", "noise": 1.0}


def _run(tmp_path: Path, data: dict[str, Any], terms: list[dict[str, Any]], **fields: Any) -> Run:
    return jobs.run(
        tmp_path,
        **{
            "dataset": data,
            "model": {"kind": "linear"},
            "loss": {"kind": "half_mse" if data is REAL else "cross_entropy"},
            "optimizer": {"kind": "gd", "lr": 0.5 if data is CLASSES else 0.3},
            "batch_size": "full",
            "penalties": terms,
            "precision": "float64",
            "epochs": 10_000,
            "checkpoints": convex.QUIET,
            **fields,
        },
    )


def _settle(run: Run, *, steps: int = 8_000) -> tuple[np.ndarray, np.ndarray]:
    """Weights [outputs, features] and bias once fifty steps no longer move them, or after so many steps."""
    going: Iterator[Any] = fit(run)
    weight, before = run.named["fc1.weight"], torch.empty(0)
    while run.step < steps:
        done = run.step
        next(going)
        if run.step > done and run.step % 50 == 0:
            if before.numel() and (before - weight).abs().max() < 1e-13:
                break
            before = weight.detach().clone()
    return weight.detach().numpy().copy(), run.named["fc1.bias"].detach().numpy().copy()


def test_logistic_regression_with_l1_is_scikit_learns_with_the_same_zeros(tmp_path: Path) -> None:
    lam = 0.02
    run = _run(tmp_path, CLASSES, [{"kind": "l1", "lambda": lam}])
    X, y = convex.arrays(run)
    oracle = LogisticRegression(l1_ratio=1.0, solver="saga", C=1 / (lam * len(X)), tol=1e-12, max_iter=50_000, random_state=0).fit(X, y)

    weight, bias = _settle(run)

    ours = convex.logistic(X, y, weight, bias) + lam * np.abs(weight).sum()
    theirs = convex.logistic(X, y, oracle.coef_, oracle.intercept_) + lam * np.abs(oracle.coef_).sum()
    assert abs(ours - theirs) <= 1e-8
    assert 10 < (weight == 0).sum() < 50
    assert np.array_equal(weight == 0, oracle.coef_ == 0)


def test_logistic_regression_with_l2_is_scikit_learns(tmp_path: Path) -> None:
    lam = 0.05
    run = _run(tmp_path, CLASSES, [{"kind": "l2", "lambda": lam}])
    X, y = convex.arrays(run)
    oracle = LogisticRegression(solver="lbfgs", C=1 / (lam * len(X)), tol=1e-12, max_iter=50_000).fit(X, y)

    weight, bias = _settle(run)

    ours = convex.logistic(X, y, weight, bias) + lam / 2 * (weight**2).sum()
    theirs = convex.logistic(X, y, oracle.coef_, oracle.intercept_) + lam / 2 * (oracle.coef_**2).sum()
    assert abs(ours - theirs) <= 1e-8
    assert np.abs(weight - oracle.coef_).max() <= 1e-4


LEAST_SQUARES = {
    "lasso": ([{"kind": "l1", "lambda": 0.1}], lambda n: Lasso(0.1, tol=1e-14, max_iter=100_000)),
    "ridge": ([{"kind": "l2", "lambda": 0.3}], lambda n: Ridge(n * 0.3, tol=1e-14)),
    "elastic_net": (
        [{"kind": "l1", "lambda": 0.08}, {"kind": "l2", "lambda": 0.12}],
        lambda n: ElasticNet(alpha=0.2, l1_ratio=0.4, tol=1e-14, max_iter=100_000),
    ),
    "elastic_net_in_one": (
        [{"kind": "elastic_net", "lambda": 0.2, "l1_ratio": 0.4}],
        lambda n: ElasticNet(alpha=0.2, l1_ratio=0.4, tol=1e-14, max_iter=100_000),
    ),
}


@pytest.mark.parametrize("name", LEAST_SQUARES)
@pytest.mark.parametrize(
    "optimizer",
    [{"kind": "gd", "lr": 0.3}, {"kind": "sgd", "lr": 0.05, "momentum": 0.8}, {"kind": "momentum_ema", "lr": 0.3, "beta": 0.8}],
    ids=["gd", "heavy_ball", "momentum_ema"],
)
def test_least_squares_with_penalties_are_scikit_learns(tmp_path: Path, name: str, optimizer: dict[str, Any]) -> None:
    terms, oracle = LEAST_SQUARES[name]
    run = _run(tmp_path, REAL, terms, optimizer=optimizer)
    X, y = convex.arrays(run)
    # scikit-learn's multi-output Lasso is one Lasso per output, and its loss is ours: 1/(2n) of the squares of one output.
    expected = [oracle(len(X)).fit(X, y[:, output]) for output in range(3)]

    weight, bias = _settle(run)

    assert np.abs(weight - [found.coef_ for found in expected]).max() <= 1e-10
    assert np.abs(bias - [found.intercept_ for found in expected]).max() <= 1e-10
    if name != "ridge":
        assert np.array_equal(weight == 0, [found.coef_ == 0 for found in expected])
        assert (weight == 0).any()


@pytest.mark.parametrize(("share", "all_zero"), [(1.000001, True), (0.999, False)], ids=["just_above", "just_below"])
def test_every_weight_is_zero_from_the_largest_useful_lambda_on(tmp_path: Path, share: float, *, all_zero: bool) -> None:
    X, y = convex.arrays(_run(tmp_path, CLASSES, []))
    shares = np.bincount(y, minlength=3) / len(y)
    largest = np.abs(X.T @ (shares - np.eye(3)[y])).max() / len(y)
    run = _run(tmp_path, CLASSES, [{"kind": "l1", "lambda": float(share * largest)}])

    weight, _ = _settle(run)

    assert (not weight.any()) is all_zero


ADAM = {"optimizer": {"kind": "adam", "lr": 0.03}, "schedule": {"kind": "cosine", "warmup_epochs": 10}, "epochs": 2_000}


def _lasso_gap(run: Run) -> tuple[float, bool]:
    """By how much the penalised objective is above the optimum, and whether exactly the same weights are zero."""
    X, y = convex.arrays(run)
    expected = [Lasso(0.1, tol=1e-14, max_iter=100_000).fit(X, y[:, output]) for output in range(3)]

    def objective(weight: np.ndarray, bias: np.ndarray) -> float:
        return float(((X @ weight.T + bias - y) ** 2).sum() / (2 * len(X)) + 0.1 * np.abs(weight).sum())

    weight, bias = _settle(run, steps=2_000)
    best = np.stack([found.coef_ for found in expected])
    gap = objective(weight, bias) - objective(best, np.array([found.intercept_ for found in expected]))
    return gap, np.array_equal(weight == 0, best == 0)


def test_proximal_adam_reaches_the_lasso_and_its_support(tmp_path: Path) -> None:
    gap, same_zeros = _lasso_gap(_run(tmp_path, REAL, [{"kind": "l1", "lambda": 0.1}], **ADAM))

    assert abs(gap) <= 1e-10
    assert same_zeros


def test_with_the_threshold_of_plain_gradient_descent_adam_misses_the_lasso(tmp_path: Path) -> None:
    run = _run(tmp_path, REAL, [{"kind": "l1", "lambda": 0.1}], **ADAM)
    run.metric = lambda parameters, scale: scale

    gap, _ = _lasso_gap(run)

    assert gap > 1e-3


# scikit-learn's penalty is α Σ‖w_g‖ over input features, ours has √|g| with |g| = 3 outputs.
ALPHA = 0.25
GROUPS = [{"kind": "group_lasso", "by": "input_channel", "lambda": ALPHA / 3**0.5}]


def _multi_task_gap(run: Run, *, steps: int) -> tuple[float, float, bool]:
    """By how much objective and weights miss MultiTaskLasso's, and whether the same features are zero in all outputs."""
    X, y = convex.arrays(run)
    oracle = MultiTaskLasso(ALPHA, tol=1e-15, max_iter=100_000).fit(X, y)

    def objective(weight: np.ndarray, bias: np.ndarray) -> float:
        return float(((X @ weight.T + bias - y) ** 2).sum() / (2 * len(X)) + ALPHA * np.linalg.norm(weight, axis=0).sum())

    weight, bias = _settle(run, steps=steps)
    zeros = (oracle.coef_ == 0).all(0)
    assert 3 <= zeros.sum() <= 17
    same_zeros = np.array_equal((weight == 0).all(0), zeros) and np.array_equal((weight == 0).any(0), zeros)
    gap = objective(weight, bias) - objective(oracle.coef_, oracle.intercept_)
    return gap, float(np.abs(weight - oracle.coef_).max()), same_zeros


def test_least_squares_with_groups_of_inputs_are_scikit_learns_multi_task_lasso(tmp_path: Path) -> None:
    run = _run(tmp_path, REAL, GROUPS, optimizer={"kind": "sgd", "lr": 0.05, "momentum": 0.8})

    _, distance, same_zeros = _multi_task_gap(run, steps=8_000)

    assert distance <= 1e-10
    assert same_zeros


def test_proximal_adam_reaches_the_multi_task_lasso_and_its_zero_features(tmp_path: Path) -> None:
    gap, _, same_zeros = _multi_task_gap(_run(tmp_path, REAL, GROUPS, **ADAM), steps=2_000)

    assert abs(gap) <= 1e-10
    assert same_zeros


@pytest.mark.parametrize("metric", ["mean", "one"])
def test_with_one_number_for_adams_metric_groups_miss_the_multi_task_lasso(tmp_path: Path, metric: str) -> None:
    run = _run(tmp_path, REAL, GROUPS, **ADAM | {"epochs": 600})
    exact = run.metric

    def mean(parameters: Any, scale: float) -> Any:
        found = exact(parameters, scale)
        assert isinstance(found, list)
        return [torch.full_like(each, 1 / float(each.reciprocal().mean())) for each in found]

    run.metric = mean if metric == "mean" else lambda parameters, scale: scale

    gap, _, _ = _multi_task_gap(run, steps=600)

    assert gap > 1e-3

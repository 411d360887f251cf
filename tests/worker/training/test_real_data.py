"""On real images too, a penalised network reaches scikit-learn's optimum: its digits, and the Fashion-MNIST that Ridgeline ships."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from tests.worker.training import convex, jobs
from worker.training import datasets
from worker.training.fit import fit
from worker.training.rows import Raw
from worker.training.run import Run

ROWS = 600
SHAPE = {"kind": "fake", "train_rows": ROWS, "test_rows": 1, "height": 8, "width": 8, "outputs": 10, "validation_fraction": 0}


@pytest.fixture
def digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has every job train on scikit-learn's digits: 8 x 8 pixels of 0 to 16, some of them 0 in every image."""
    found = load_digits()
    images = torch.from_numpy(found.images.astype(np.uint8)).unsqueeze(1)
    targets = torch.from_numpy(found.target.astype(np.int64))
    raw = Raw.of("scikit-learn", images[:ROWS], targets[:ROWS], images[ROWS : ROWS + 1], targets[ROWS : ROWS + 1])
    monkeypatch.setattr(datasets, "load", lambda dataset, folder: (raw, []))


def _run(tmp_path: Path, terms: list[dict[str, Any]], **fields: Any) -> Run:
    return jobs.run(
        tmp_path,
        **{
            "dataset": SHAPE,
            "model": {"kind": "linear"},
            "optimizer": {"kind": "sgd", "lr": 0.3, "momentum": 0.95},
            "batch_size": "full",
            "penalties": terms,
            "precision": "float64",
            "epochs": 10_000,
            "checkpoints": convex.QUIET,
            **fields,
        },
    )


def _settled(run: Run, steps: int) -> tuple[np.ndarray, np.ndarray]:
    going = fit(run)
    while run.step < steps:
        next(going)
    return run.named["fc1.weight"].detach().numpy().copy(), run.named["fc1.bias"].detach().numpy().copy()


@pytest.mark.usefixtures("digits")
def test_sparse_logistic_regression_on_digits_is_scikit_learns_with_the_same_zeros(tmp_path: Path) -> None:
    lam = 0.02
    run = _run(tmp_path, [{"kind": "l1", "lambda": lam}])
    X, y = convex.arrays(run)
    oracle = LogisticRegression(l1_ratio=1.0, solver="saga", C=1 / (lam * ROWS), tol=1e-10, max_iter=20_000, random_state=0).fit(X, y)

    weight, bias = _settled(run, 700)

    ours = convex.logistic(X, y, weight, bias) + lam * np.abs(weight).sum()
    theirs = convex.logistic(X, y, oracle.coef_, oracle.intercept_) + lam * np.abs(oracle.coef_).sum()
    assert abs(ours - theirs) <= 1e-8
    assert 300 < (weight == 0).sum() < 620
    assert np.array_equal(weight == 0, oracle.coef_ == 0)


@pytest.mark.usefixtures("digits")
def test_ridge_logistic_regression_on_digits_is_scikit_learns(tmp_path: Path) -> None:
    lam = 0.05
    run = _run(tmp_path, [{"kind": "l2", "lambda": lam}])
    X, y = convex.arrays(run)
    oracle = LogisticRegression(solver="lbfgs", C=1 / (lam * ROWS), tol=1e-12, max_iter=20_000).fit(X, y)

    weight, bias = _settled(run, 500)

    ours = convex.logistic(X, y, weight, bias) + lam / 2 * (weight**2).sum()
    theirs = convex.logistic(X, y, oracle.coef_, oracle.intercept_) + lam / 2 * (oracle.coef_**2).sum()
    assert abs(ours - theirs) <= 1e-8


@pytest.mark.parametrize(("share", "stays"), [(1 + 1e-12, True), (1 - 1e-6, False)], ids=["just_above", "just_below"])
def test_on_fashion_mnist_zero_is_the_optimum_from_the_largest_useful_lambda_on(tmp_path: Path, share: float, *, stays: bool) -> None:
    data = {"kind": "builtin", "validation_fraction": 0.0}
    X, y = convex.arrays(_run(tmp_path, [], dataset=data))
    shares = np.bincount(y, minlength=10) / len(y)
    largest = np.abs(X.T @ (shares - np.eye(10)[y])).max() / len(y)
    run = _run(tmp_path, [{"kind": "l1", "lambda": float(share * largest)}], dataset=data, optimizer={"kind": "gd", "lr": 0.1})
    with torch.no_grad():
        run.named["fc1.weight"].zero_()
        run.named["fc1.bias"].copy_(torch.from_numpy(np.log(shares)))

    weight, _ = _settled(run, 1)

    assert (not weight.any()) is stays

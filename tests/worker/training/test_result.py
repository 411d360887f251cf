"""What a result says is what scikit-learn, torchmetrics and plain arithmetic say of the same network."""

import math
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss, confusion_matrix, log_loss, precision_recall_fscore_support

from contract import events
from tests.worker.training import jobs
from worker.training import batches, layers, lineage
from worker.training.calibration import Tally
from worker.training.run import Run

CLASSES = 5


def _logits(scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of mixed confidence; class 4 is never true and class 3 seldom predicted."""
    generator = torch.Generator().manual_seed(7)
    logits = scale * torch.randn(700, CLASSES, generator=generator)
    classes = torch.where(torch.rand(700, generator=generator) < 0.6, logits.argmax(1), torch.randint(0, 4, (700,), generator=generator))
    return logits - 2 * torch.eye(CLASSES)[3], classes.clamp_max(3)


def _tally(logits: torch.Tensor, classes: torch.Tensor) -> Tally:
    tally = Tally.zero(CLASSES, torch.device("cpu"))
    for start in range(0, len(logits), 64):
        tally.add(logits[start : start + 64], classes[start : start + 64])
    return tally


@pytest.mark.parametrize("scale", [0.3, 2.0, 6.0], ids=["unsure", "mixed", "sure"])
def test_calibration_is_torchmetrics_and_scores_are_scikit_learns(scale: float) -> None:
    # Here and not above: it takes longer to import than torch does, in each of the processes that collect the tests.
    from torchmetrics.classification import MulticlassCalibrationError

    logits, classes = _logits(scale)
    p = logits.double().softmax(1)

    found = _tally(logits, classes).metrics("test")

    ece = MulticlassCalibrationError(CLASSES, n_bins=15, norm="l1")(p, classes)
    labels = list(range(CLASSES))
    assert found["test.ece"] == pytest.approx(float(ece), abs=1e-6)
    assert found["test.nll"] == pytest.approx(log_loss(classes, p.numpy(), labels=labels), abs=1e-9)
    assert found["test.brier"] == pytest.approx(brier_score_loss(classes, p.numpy(), labels=labels, scale_by_half=False), abs=1e-9)


def test_a_probability_of_one_belongs_to_the_last_bin_and_logits_without_bound_are_no_nan() -> None:
    tally = _tally(torch.tensor([[900.0, 0, 0, 0, 0], [900.0, 0, 0, 0, 0]]), torch.tensor([0, 1]))

    assert tally.bins[-1].tolist() == [2.0, 2.0, 1.0]
    assert tally.metrics("test") == {"test.nll": 450.0, "test.brier": 1.0, "test.ece": 0.5}
    furthest = _tally(torch.tensor([[1e308, -1e308, 0, 0, 0]], dtype=torch.float64), torch.tensor([0]))
    assert furthest.metrics("test") == {"test.nll": 0.0, "test.brier": 0.0, "test.ece": 0.0}


def test_confusion_and_per_class_figures_are_scikit_learns() -> None:
    logits, classes = _logits(2.0)
    tally, predicted = _tally(logits, classes), logits.argmax(1)
    labels = list(range(CLASSES))
    expected = precision_recall_fscore_support(classes, predicted, labels=labels, zero_division=0)

    assert np.array_equal(tally.counts(), confusion_matrix(classes, predicted, labels=labels))
    found = tally.classes()
    assert [each.label for each in found] == labels
    for name, column in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        assert [getattr(each, name) for each in found] == pytest.approx(list(column), abs=1e-12)
    assert found[4].support == 0


def test_a_result_holds_these_figures_of_its_test_rows_however_they_are_parted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = jobs.run(tmp_path, epochs=1)
    whole = jobs.result(run)
    monkeypatch.setattr(batches, "CHUNK", 7)
    parted = jobs.result(jobs.run(tmp_path / "parted", epochs=1))

    images, classes = run.data.test.between(0, 20)
    p = run.model(images).detach().double().softmax(1)
    assert whole.metrics["test.nll"] == pytest.approx(log_loss(classes, p.numpy(), labels=[0, 1, 2]), abs=1e-6)
    assert whole.classes is not None
    assert sum(each.support for each in whole.classes) == 20
    assert whole.classes == parted.classes
    for name in ("test.nll", "test.brier", "test.ece", "val.nll", "val.objective"):
        assert whole.metrics[name] == pytest.approx(parted.metrics[name], abs=1e-6)


def test_nll_does_not_know_what_loss_the_network_was_trained_by(tmp_path: Path) -> None:
    result = jobs.result(jobs.run(tmp_path, loss={"kind": "half_mse"}, epochs=1))

    assert result.metrics["test.nll"] != result.metrics["test.loss"]
    assert result.metrics["test.nll"] > 0


def test_real_targets_have_no_figures_of_classes(tmp_path: Path) -> None:
    result = jobs.result(jobs.run(tmp_path, dataset=jobs.TINY | {"targets": "real"}, loss={"kind": "half_mse"}))

    assert (result.confusion, result.classes) == (None, None)
    assert not [name for name in result.metrics if name.endswith(("accuracy", "nll", "brier", "ece"))]
    assert {"train.objective", "val.objective", "test.loss"} < result.metrics.keys()


def _of(run: Run) -> dict[str, events.LayerWeights]:
    return {layer.name: layer for layer in layers.of(run)}


@pytest.mark.parametrize(
    "model", [{"kind": "mlp", "hidden": [70]}, {"kind": "cnn", "channels": [4, 6], "hidden": [10]}], ids=["mlp", "cnn"]
)
def test_sigma_max_is_the_largest_singular_value_of_the_flattened_weight(tmp_path: Path, model: dict[str, Any]) -> None:
    run = jobs.run(tmp_path, model=model)

    for name, layer in _of(run).items():
        weight = run.named[f"{name}.weight"].detach().numpy().astype(np.float64)
        expected = np.linalg.svd(weight.reshape(len(weight), -1), compute_uv=False)[0]
        assert layer.sigma_max == pytest.approx(expected, rel=1e-12)
        assert layer.filters == len(weight)


def test_the_figures_of_a_weight_that_ran_away_are_not_finite_and_no_error(tmp_path: Path) -> None:
    run = jobs.run(tmp_path)
    with torch.no_grad():
        run.named["fc1.weight"][0, 0] = math.inf

    assert math.isnan(_of(run)["fc1"].sigma_max)
    assert _of(run)["fc1"].l2 == math.inf


@pytest.mark.parametrize(
    ("activation", "bias", "is_dead"),
    [("relu", -1.0, True), ("relu", 0.0, True), ("relu", 0.1, False), ("tanh", -1.0, False), ("tanh", 0.0, True), ("gelu", -1.0, False)],
)
def test_a_unit_is_dead_when_it_gives_nothing_to_the_next_layer_whatever_the_input(
    tmp_path: Path, activation: str, bias: float, *, is_dead: bool
) -> None:
    run = jobs.run(tmp_path, model={"kind": "mlp", "hidden": [8], "activation": activation})
    with torch.no_grad():
        run.named["fc1.weight"][2] = 0.0
        run.named["fc1.bias"][2] = bias
        run.named["fc1.weight"][3, 1:] = 0.0
        run.named["fc2.weight"][0] = 0.0
        run.named["fc2.bias"][0] = -1.0

    found = _of(run)

    assert found["fc1"].dead_filters == is_dead
    assert found["fc2"].dead_filters == 0, "an output is never dead"
    images, _ = run.data.test.between(0, 20)
    before = run.model(images)
    with torch.no_grad():
        run.named["fc2.weight"][:, 2] = 99.0
    assert torch.equal(run.model(images), before) is is_dead


@pytest.mark.parametrize(
    ("weights", "gamma", "beta", "mean", "is_dead"),
    [
        ("zero", 1.0, -0.5, 0.0, True),
        ("zero", 1.0, 0.5, 0.0, False),
        ("zero", 1.0, 0.0, 1.0, True),
        ("zero", -1.0, 0.0, 1.0, False),
        ("any", 0.0, 0.0, 0.0, True),
        ("any", 0.0, 0.5, 0.0, False),
        ("any", 1.0, -0.5, 0.0, False),
    ],
)
def test_behind_a_norm_a_filter_is_dead_by_what_the_norm_makes_of_it(
    tmp_path: Path, weights: str, gamma: float, beta: float, mean: float, *, is_dead: bool
) -> None:
    run = jobs.run(tmp_path, model=jobs.CONVOLUTIONAL)
    with torch.no_grad():
        if weights == "zero":
            run.named["conv1.weight"][1] = 0.0
        run.named["conv1.bias"][1] = 0.0
        run.named["norm1.weight"][1], run.named["norm1.bias"][1] = gamma, beta
        run.model.get_buffer("norm1.running_mean")[1] = mean

    assert _of(run)["conv1"].dead_filters == is_dead
    run.model.eval()
    images, _ = run.data.test.between(0, 20)
    before = run.model(images)
    with torch.no_grad():
        run.named["conv2.weight"][:, 1] = 99.0
    assert torch.equal(run.model(images), before) is is_dead


def test_a_result_says_what_its_bits_follow_from(tmp_path: Path) -> None:
    first = jobs.result(jobs.run(tmp_path / "first", seed=4)).lineage
    again = jobs.result(jobs.run(tmp_path / "again", seed=4, name="other", limits={"max_runtime_seconds": 9})).lineage
    other = jobs.result(jobs.run(tmp_path / "other", seed=5)).lineage

    assert first == again
    assert (first.seed, other.seed) == (4, 5)
    assert first.spec_sha256 != other.spec_sha256
    assert "1 threads" in first.fingerprint


def test_the_commit_is_that_of_the_clone_or_what_the_image_says_or_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RIDGELINE_COMMIT", raising=False)
    assert lineage.commit(tmp_path) is None
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert lineage.commit(tmp_path) == head
    subprocess.run([*git, "checkout", "-q", "--detach"], check=True)
    assert lineage.commit(tmp_path) == head

    monkeypatch.setenv("RIDGELINE_COMMIT", "abc")
    assert lineage.commit(tmp_path) == "abc"


def test_in_a_residual_block_only_what_a_relu_sees_first_is_dead_under_a_negative_constant(tmp_path: Path) -> None:
    run = jobs.run(tmp_path, model={"kind": "resnet18"})
    with torch.no_grad():
        for conv, norm in (("conv1", "bn1"), ("layer1.0.conv1", "layer1.0.bn1"), ("layer1.0.conv2", "layer1.0.bn2")):
            run.named[f"{conv}.weight"][0] = 0
            run.named[f"{norm}.bias"][0] = -1

    dead = {layer.name: layer.dead_filters for layer in layers.of(run) if layer.dead_filters}

    assert dead == {"conv1": 1, "layer1.0.conv1": 1}

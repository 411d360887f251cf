"""The losses are the formulas of their specs."""

import pytest
import torch

from contract.spec import losses
from contract.spec.datasets import Shape
from worker.training import losses as terms

CLASSES = Shape(1, 2, 2, 3, "classes")
REAL = Shape(1, 2, 2, 3, "real")


def _logits() -> torch.Tensor:
    return torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_cross_entropy_is_the_mean_negative_log_softmax_of_the_true_class() -> None:
    logits, classes = _logits(), torch.tensor([0, 1, 2, 1, 0])

    found = terms.build(losses.CrossEntropy(), CLASSES)(logits, classes)

    assert found.item() == pytest.approx(-logits.log_softmax(1)[range(5), classes].mean().item(), abs=1e-15)


def test_label_smoothing_spreads_its_share_over_all_classes() -> None:
    logits, classes = _logits(), torch.tensor([0, 1, 2, 1, 0])
    smooth = 0.7 * torch.eye(3, dtype=torch.float64)[classes] + 0.3 / 3

    found = terms.build(losses.CrossEntropy(label_smoothing=0.3), CLASSES)(logits, classes)

    assert found.item() == pytest.approx(-(smooth * logits.log_softmax(1)).sum(1).mean().item(), abs=1e-15)


def test_half_mse_is_half_the_mean_squared_distance_to_the_one_hot_of_a_class() -> None:
    logits, classes = _logits(), torch.tensor([0, 1, 2, 1, 0])

    found = terms.build(losses.HalfMSE(), CLASSES)(logits, classes)

    assert found.item() == pytest.approx(((logits - torch.eye(3)[classes]) ** 2).sum().item() / 10, abs=1e-15)


def test_half_mse_is_half_the_mean_squared_distance_to_real_targets() -> None:
    outputs, targets = _logits(), _logits().flip(0)

    found = terms.build(losses.HalfMSE(), REAL)(outputs, targets)

    assert found.item() == pytest.approx(((outputs - targets) ** 2).sum().item() / 10, abs=1e-15)

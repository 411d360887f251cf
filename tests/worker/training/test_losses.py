"""The losses are the formulas of their specs."""

from typing import Literal

import pytest
import torch

from contract.spec import JobSpec, check, datasets, losses
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


LABELS = torch.tensor([0, 1, 2, 1, 0])
NOISY: list[losses.Loss] = [losses.GCE(), losses.SCE(), losses.Bootstrap(), losses.Bootstrap(target="soft")]
ON_CLASSES: list[losses.Loss] = [losses.CrossEntropy(label_smoothing=0.1), losses.HalfMSE(), *NOISY]


def _value(loss: losses.Loss, logits: torch.Tensor | None = None) -> float:
    return terms.build(loss, CLASSES)(_logits() if logits is None else logits, LABELS).item()


def _absolute_error() -> float:
    return (_logits().softmax(1) - torch.eye(3)[LABELS]).abs().sum(1).mean().item()


def test_generalised_cross_entropy_is_its_formula() -> None:
    p = _logits().softmax(1)[range(5), LABELS]

    assert _value(losses.GCE(q=0.7)) == pytest.approx(((1 - p**0.7) / 0.7).mean().item(), abs=1e-15)


def test_generalised_cross_entropy_lies_between_cross_entropy_and_half_the_absolute_error() -> None:
    # Its distance from cross entropy is q/2·mean(log² p) to first order.
    assert _value(losses.GCE(q=1e-6)) == pytest.approx(_value(losses.CrossEntropy()), abs=1e-5)
    assert _value(losses.GCE(q=1.0)) == pytest.approx(_absolute_error() / 2, abs=1e-15)


def test_symmetric_cross_entropy_adds_the_reverse_one_with_log_zero_cut_off() -> None:
    log_e = torch.eye(3, dtype=torch.float64)[LABELS].log().clamp_min(-6)
    reverse = -(_logits().softmax(1) * log_e).sum(1).mean().item()

    found = _value(losses.SCE(alpha=0.3, beta=0.5, log_zero=-6.0))

    assert found == pytest.approx(0.3 * _value(losses.CrossEntropy()) + 0.5 * reverse, abs=1e-15)
    assert _value(losses.SCE(alpha=0.3, beta=0)) == pytest.approx(0.3 * _value(losses.CrossEntropy()), abs=1e-15)
    assert _value(losses.SCE(alpha=0, log_zero=-1.0)) == pytest.approx(_absolute_error() / 2, abs=1e-15)


@pytest.mark.parametrize("target", ["hard", "soft"])
def test_bootstrapping_is_cross_entropy_towards_a_mix_of_label_and_opinion(target: Literal["hard", "soft"]) -> None:
    p = _logits().softmax(1)
    opinion = p if target == "soft" else torch.eye(3, dtype=torch.float64)[p.argmax(1)]
    mixed = 0.6 * torch.eye(3, dtype=torch.float64)[LABELS] + 0.4 * opinion

    assert _value(losses.Bootstrap(target=target, beta=0.6)) == pytest.approx(-(mixed * p.log()).sum(1).mean().item(), abs=1e-15)
    assert _value(losses.Bootstrap(target=target, beta=1.0)) == pytest.approx(_value(losses.CrossEntropy()), abs=1e-15)


def test_bootstrapping_trusts_labels_as_its_paper_does_unless_told_otherwise() -> None:
    assert [losses.Bootstrap(target=target).beta for target in ("hard", "soft")] == [0.8, 0.95]  # type: ignore[arg-type]


@pytest.mark.parametrize("loss", ON_CLASSES, ids=repr)
def test_the_gradient_of_a_loss_is_its_derivative(loss: losses.Loss) -> None:
    term = terms.build(loss, CLASSES)

    assert torch.autograd.gradcheck(lambda logits: term(logits, LABELS), _logits().requires_grad_())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("size", [30.0, 1e4, 1e30])
@pytest.mark.parametrize("loss", NOISY, ids=repr)
def test_a_network_that_is_sure_of_itself_gets_a_finite_loss_and_gradient(loss: losses.Loss, size: float, dtype: torch.dtype) -> None:
    # Rows that are surely right, surely wrong, and undecided.
    logits = (size * torch.tensor([[1, 0, -1], [1, 0, -1], [1, -1, 1], [0, 0, 0], [-1, 1, 0]])).to(dtype).requires_grad_()

    value = terms.build(loss, CLASSES)(logits, LABELS)
    torch.autograd.backward(value)

    assert logits.grad is not None
    assert value.isfinite()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("loss", [losses.GCE(), losses.SCE(alpha=0)], ids=repr)
def test_a_label_that_the_network_surely_denies_pulls_less_than_one_it_doubts(loss: losses.Loss) -> None:
    denied, doubted = (torch.tensor([[margin, 0.0, 0.0]], requires_grad=True) for margin in (12.0, 1.0))
    for logits in (denied, doubted):
        torch.autograd.backward(terms.build(loss, CLASSES)(logits, torch.tensor([1])))

    assert denied.grad is not None
    assert doubted.grad is not None
    assert denied.grad.norm() < 0.01 * doubted.grad.norm()


@pytest.mark.parametrize("loss", NOISY, ids=repr)
def test_a_loss_for_noisy_labels_is_refused_on_real_targets(loss: losses.Loss) -> None:
    spec = JobSpec(dataset=datasets.Fake(targets="real"), loss=loss)

    assert [(fault.pointer, fault.code) for fault in check.faults(spec)] == [("/loss/kind", "loss_misfit")]

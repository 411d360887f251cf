"""What the data loss of a batch is: a mean over its rows, so that λ does not depend on the batch size."""

from collections.abc import Callable
from functools import partial
from typing import assert_never

import torch
import torch.nn.functional as F
from torch import Tensor

from contract.spec import losses
from contract.spec.datasets import Shape

Loss = Callable[[Tensor, Tensor], Tensor]
"""(logits [n, outputs], targets [n] of classes or [n, outputs] of real values) to a scalar."""


def build(loss: losses.Loss, data: Shape) -> Loss:
    """The function that `loss` names, for targets as `data` has them."""
    match loss:
        case losses.CrossEntropy():
            return partial(F.cross_entropy, label_smoothing=loss.label_smoothing)
        case losses.HalfMSE():
            return _half_mse_on_classes if data.targets == "classes" else _half_mse
        case losses.GCE():
            return partial(_gce, q=loss.q)
        case losses.SCE():
            return partial(_sce, alpha=loss.alpha, beta=loss.beta, log_zero=loss.log_zero)
        case losses.Bootstrap():
            return partial(_bootstrap_hard if loss.target == "hard" else _bootstrap_soft, beta=loss.beta)
        case _:
            assert_never(loss)


def _half_mse_on_classes(logits: Tensor, classes: Tensor) -> Tensor:
    return _half_mse(logits, F.one_hot(classes, logits.shape[1]).to(logits.dtype))


def _half_mse(outputs: Tensor, targets: Tensor) -> Tensor:
    """1/(2n) Σ ‖f(x) - y‖²: torch's mean would divide by the number of outputs too."""
    return F.mse_loss(outputs, targets, reduction="sum") / (2 * len(outputs))


def _gce(logits: Tensor, classes: Tensor, *, q: float) -> Tensor:
    """(1/n) Σ (1 - p_y^q)/q. From log p: p^q itself would lose its gradient where p rounds to 0, and the 1 its digits where p is near 1."""
    return torch.expm1(_log_likelihoods(logits, classes) * q).mean() / -q


def _sce(logits: Tensor, classes: Tensor, *, alpha: float, beta: float, log_zero: float) -> Tensor:
    """alpha·CE + beta·RCE. All classes but y have log e_k = A and together the probability 1 - p_y, so RCE = -A(1 - p_y)."""
    log_p = _log_likelihoods(logits, classes)
    return (torch.expm1(log_p) * (beta * log_zero) - log_p * alpha).mean()


def _bootstrap_hard(logits: Tensor, classes: Tensor, *, beta: float) -> Tensor:
    """-(1/n) Σ [beta·log p_y + (1 - beta)·max_k log p_k]."""
    log_p = F.log_softmax(logits, 1)
    return F.nll_loss(log_p, classes) * beta - log_p.amax(1).mean() * (1 - beta)


def _bootstrap_soft(logits: Tensor, classes: Tensor, *, beta: float) -> Tensor:
    """-(1/n) Σ [beta·log p_y + (1 - beta)·Σ_k p_k log p_k]: cross entropy and the entropy of p."""
    log_p = F.log_softmax(logits, 1)
    return F.nll_loss(log_p, classes) * beta - (log_p.exp() * log_p).sum(1).mean() * (1 - beta)


def _log_likelihoods(logits: Tensor, classes: Tensor) -> Tensor:
    """log softmax(f(x))_y of each row."""
    return -F.cross_entropy(logits, classes, reduction="none")

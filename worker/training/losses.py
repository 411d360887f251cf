"""What the data loss of a batch is: a mean over its rows, so that λ does not depend on the batch size."""

from collections.abc import Callable
from functools import partial
from typing import assert_never

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
        case _:
            assert_never(loss)


def _half_mse_on_classes(logits: Tensor, classes: Tensor) -> Tensor:
    return _half_mse(logits, F.one_hot(classes, logits.shape[1]).to(logits.dtype))


def _half_mse(outputs: Tensor, targets: Tensor) -> Tensor:
    """1/(2n) Σ ‖f(x) - y‖²: torch's mean would divide by the number of outputs too."""
    return F.mse_loss(outputs, targets, reduction="sum") / (2 * len(outputs))

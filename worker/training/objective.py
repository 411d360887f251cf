"""What a step minimises: the mean data loss over its rows, and its gradient."""

import torch
from torch import Tensor

from worker.training import precision
from worker.training.run import Run, Totals


def backward(run: Run, images: Tensor, targets: Tensor, share: float = 1.0) -> Totals:
    """Adds `share` times the gradient of the mean loss over these rows to the gradients. Returns the rows' sums."""
    outputs, loss = _forward(run, images, targets)
    torch.autograd.backward(loss if share == 1.0 else loss * share)
    return _sums(run, outputs.detach(), targets, loss.detach())


@torch.no_grad()
def measure(run: Run, images: Tensor, targets: Tensor) -> tuple[Totals, Tensor]:
    """The rows' sums without a gradient, and the network's outputs for them."""
    outputs, loss = _forward(run, images, targets)
    return _sums(run, outputs, targets, loss), outputs


def _forward(run: Run, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    with run.autocast():
        outputs = run.model(images)
    # The loss in the weights' own precision: a log-softmax in bfloat16 has three digits.
    outputs = outputs.to(precision.dtype(run.machine.precision))
    return outputs, run.loss(outputs, targets)


def _sums(run: Run, outputs: Tensor, targets: Tensor, loss: Tensor) -> Totals:
    correct = outputs.argmax(1).eq(targets).sum() if run.has_classes else torch.zeros_like(run.totals.correct)
    return Totals(loss.double() * len(outputs), correct)

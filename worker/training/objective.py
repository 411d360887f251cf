"""What a step minimises: the mean data loss over its rows, its gradient, and the check that both are finite."""

from math import isfinite

import torch
from torch import Tensor

from worker.training import precision
from worker.training.faults import DivergedError
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


@torch.no_grad()
def check_finite(run: Run, loss: Tensor, lr: float) -> None:
    """Raises DivergedError before a non-finite loss or gradient reaches the weights."""
    gradients = {name: parameter.grad for name, parameter in run.named.items() if parameter.grad is not None}
    norms = torch._foreach_norm(list(gradients.values()))
    # One number to wait for: a sum is finite only if every part is.
    if isfinite(float(torch.stack(norms).sum() + loss)):
        return
    if not isfinite(value := float(loss)):
        raise DivergedError(f"loss became {value} at step {run.step + 1}", _remedy(run, lr))
    name, value = next((name, float(norm)) for name, norm in zip(gradients, norms, strict=True) if not isfinite(float(norm)))
    raise DivergedError(f"the gradient of {name} became {value} at step {run.step + 1}", _remedy(run, lr))


@torch.no_grad()
def check_weights(run: Run) -> None:
    """Raises DivergedError where the last step has left a weight non-finite: no later loss would say so at a job's end."""
    norms = torch._foreach_norm(list(run.named.values()))
    if isfinite(float(torch.stack(norms).sum())):
        return
    name = next(name for name, norm in zip(run.named, norms, strict=True) if not isfinite(float(norm)))
    raise DivergedError(f"{name} is no longer finite after step {run.step}", _remedy(run, run.lr(run.step - 1)))


def _remedy(run: Run, lr: float) -> str:
    # A gradient step on (λ/2)‖θ‖² grows where lr·λ > 2, whatever the data says.
    strong = max((penalty.strength for penalty in run.spec.penalties), default=0.0)
    return f"try lr {lr / 10:g} in place of {lr:g}" + (f", or λ well below {strong:g}" if strong * lr > 1 else "")


def _forward(run: Run, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    with run.autocast():
        outputs = run.model(images)
    # The loss in the weights' own precision: a log-softmax in bfloat16 has three digits.
    outputs = outputs.to(precision.dtype(run.machine.precision))
    return outputs, run.loss(outputs, targets)


def _sums(run: Run, outputs: Tensor, targets: Tensor, loss: Tensor) -> Totals:
    correct = outputs.argmax(1).eq(targets).sum() if run.has_classes else torch.zeros_like(run.totals.correct)
    return Totals(loss.double() * len(outputs), correct)

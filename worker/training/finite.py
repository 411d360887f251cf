"""Whether a step may be taken: its loss and every gradient must be finite, and what is said when one is not."""

from math import isfinite

import torch
from torch import Tensor

from contract.spec import optimizers
from worker.training import penalties
from worker.training.faults import DivergedError
from worker.training.run import Run


@torch.no_grad()
def check(run: Run, loss: Tensor) -> None:
    """Before the update of a step: whether its loss and gradients are finite.

    On the CPU raises DivergedError at once. On a GPU the first bad step is only held on the device, so that no step waits for the
    one before; `read` then raises, and is called before anything leaves the device.
    """
    gradients = [parameter.grad for parameter in run.named.values() if parameter.grad is not None]
    norms = torch.stack(torch._foreach_norm(gradients))
    latch = run.latch
    if latch.reads_each_step:
        # One number to wait for: a sum is finite only if every part is.
        if not isfinite(float(norms.sum() + loss)):
            latch.hold(run.step + 1, loss, norms)
            read(run)
    else:
        latch.hold(run.step + 1, loss, norms)


@torch.no_grad()
def read(run: Run) -> None:
    """Raises DivergedError for the first step whose loss or gradient was not finite."""
    if (step := int(run.latch.step)) == 0:
        return
    loss, what = float(run.latch.loss), "loss"
    if isfinite(value := loss):
        what, value = _bad_gradient(run)
    raise DivergedError(f"{what} became {value} at step {step} ({_terms(run, loss, step)})", _remedy(run, run.lr(step - 1)))


@torch.no_grad()
def check_weights(run: Run) -> None:
    """Raises DivergedError where the last step has left a weight non-finite: no later loss would say so at a job's end."""
    read(run)
    norms = torch._foreach_norm(list(run.named.values()))
    if isfinite(float(torch.stack(norms).sum())):
        return
    name = next(name for name, norm in zip(run.named, norms, strict=True) if not isfinite(float(norm)))
    raise DivergedError(f"{name} is no longer finite after step {run.step}", _remedy(run, run.lr(run.step - 1)))


def _bad_gradient(run: Run) -> tuple[str, float]:
    names = [name for name, parameter in run.named.items() if parameter.grad is not None]
    norms = run.latch.norms.tolist()
    # Each may be finite where only their sum is not.
    name, value = next(((name, norm) for name, norm in zip(names, norms, strict=True) if not isfinite(norm)), ("all weights", sum(norms)))
    return f"the gradient of {name}", value


def _terms(run: Run, loss: float, step: int) -> str:
    """The data loss of the bad step, and the penalties: where the check is read later, of the weights as they are by then."""
    worth = penalties.values(run.terms, step - 1)
    named = {"data loss": loss, **{name.rpartition(".")[2]: value for name, value in worth.items()}}
    return ", ".join(f"{name} {value:.4g}" for name, value in named.items())


def _remedy(run: Run, lr: float) -> str:
    # A gradient step on (λ/2)‖θ‖² grows where lr·λ > 2, whatever the data says.
    strong = max((penalty.strength for penalty in run.spec.penalties), default=0.0)
    tried = f"try lr {lr / 10:g} in place of {lr:g}" + (f", or λ well below {strong:g}" if strong * lr > 1 else "")
    spec = optimizers.stepping(run.spec.optimizer)
    if isinstance(spec, optimizers.RMSprop) and spec.centered:
        # torch takes the root of v less the square of the mean, which rounding makes negative.
        tried += ", or centered false: the variance of a gradient that holds still may round to below 0"
    return tried

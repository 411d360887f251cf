"""How far a run's weights are from a stationary point of its penalised objective."""

from collections.abc import Generator, Sequence

import torch
from torch import Tensor

from worker.training import batches, objective, penalties, weights
from worker.training.run import Run
from worker.training.said import TICK, Said

# A step after every λ warm-up: what is asked for is a stationary point of the whole objective.
_SETTLED = 1 << 62


def gradient_mapping(run: Run) -> Generator[Said, None, float]:
    """‖θ - prox_tP(θ - t·∇F(θ))‖₂ / t at the weights that are given away, over all training rows, in evaluation mode.

    F is the mean data loss plus the coupled penalties, P the proximal ones in the Euclidean metric, t the optimizer's lr. Yields
    between the parts of the gradient; leaves weights and buffers as they were, to the bit, and no gradients (Beck, 2017, chapter 10).
    """
    run.model.eval()
    run.model.zero_grad(set_to_none=True)
    rows = run.data.train
    for start in range(0, len(rows), batches.CHUNK):
        with run.watch.measure("evaluate"), weights.evaluated(run):
            images, targets = rows.between(start, min(start + batches.CHUNK, len(rows)))
            objective.backward(run, images, targets, share=len(targets) / len(rows))
        yield TICK
    with run.watch.measure("evaluate"), weights.evaluated(run):
        penalties.add_gradients(run.terms, _SETTLED)
        distance = _moved(run, run.spec.optimizer.lr)
    run.model.zero_grad(set_to_none=True)
    return distance / run.spec.optimizer.lr


@torch.no_grad()
def _moved(run: Run, t: float) -> float:
    """How far a Euclidean proximal gradient step of length t moves the weights, which it leaves as they are."""
    parameters = [parameter for parameter in run.named.values() if parameter.grad is not None]
    own = [parameter.data for parameter in parameters]
    # In float64: θ - t·g in float32 is rounded by 6e-8·|θ|, which divided by a small t drowns every tolerance worth asking for.
    before = [value.double() for value in own]
    after = [value - t * parameter.grad.double() for value, parameter in zip(before, parameters, strict=True) if parameter.grad is not None]
    try:
        _put(parameters, after)
        penalties.shrink(run.terms, _SETTLED, t, _euclidean)
    finally:
        _put(parameters, own)
    return float(torch.stack(torch._foreach_norm(torch._foreach_sub(before, after))).norm())


def _put(parameters: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for parameter, value in zip(parameters, values, strict=True):
        # A gradient of another dtype than its parameter is refused.
        parameter.grad = None
        parameter.data = value


def _euclidean(parameters: Sequence[Tensor], scale: float) -> float:  # noqa: ARG001
    return scale

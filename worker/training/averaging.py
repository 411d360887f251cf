"""How the moving average of a run's weights follows them."""

import torch
from torch import Tensor

from contract.spec import finish
from worker.training.run import Run


def begin(run: Run) -> None:
    """Starts the average at the present weights, if the job asks for one."""
    if run.spec.averaging is not None:
        run.average = {name: value.detach().clone() for name, value in averageable(run).items()}


@torch.no_grad()
def update(run: Run) -> None:
    """Moves the average towards the weights of the step just made: s ← s + (1 - d)(θ - s)."""
    if run.spec.averaging is None:
        return
    places = averageable(run)
    weights = [places[name] for name in run.average]
    torch._foreach_lerp_(list(run.average.values()), weights, 1 - decay(run.spec.averaging, run.step - run.first_step))


def decay(spec: finish.EMA, step: int) -> float:
    """d at step number `step` of its phase, from 0: low at first, so that the initial weights are soon forgotten."""
    return min(spec.decay, (1 + step) / (10 + step))


def sparse(run: Run) -> dict[str, Tensor]:
    """The average, with an exact zero wherever a proximal penalty holds the weight itself at exact zero.

    A mean over weights that were ever different from zero is not zero: without this an averaged network would have no zeros at all.
    """
    # Those of the last step boundary: amid a step the weights may lie elsewhere.
    own = {name: run.held_buffers.get(name, parameter.detach()) for name, parameter in run.named.items()}
    thresholded = {id(parameter) for term in run.terms if finish.sparsifies(term.spec) for parameter in term.parameters}
    return {
        name: torch.where(own[name] == 0, 0.0, value) if id(run.named.get(name)) in thresholded else value
        for name, value in run.average.items()
    }


def averageable(run: Run) -> dict[str, Tensor]:
    """What an average is taken of, by name: the parameters, and the buffers that hold real numbers."""
    buffers = {name: buffer for name, buffer in run.model.named_buffers() if buffer.is_floating_point()}
    return {**run.named, **buffers}

"""Which library's optimizer steps the weights.

Adam and AdamW take torch's fused form, a single pass over memory (on two CPU cores 3,700 against 2,800 samples a second for
foreach, whose temporaries cost more than its arithmetic). The others take foreach where there is one: the SGD family works in place
and loses nothing to fused, its bits are those of the plain loop, and most of the rest have no fused form on every device.

A kind is a `case` in `build` and, where it has a diagonal metric, one in `metric`. What is more than a call is a leaf beside this
file: `muon` (two optimizers as one), `sam` (a gradient taken elsewhere), `average` (weights that are not the trained ones), `state`
(what a checkpoint must hold).
"""

from collections.abc import Callable, Sequence
from typing import assert_never

import torch
from torch import Tensor, optim

from contract.spec import optimizers
from worker.training.optimizers.average import averaged
from worker.training.optimizers.muon import Muon

__all__ = ["averaged", "build", "set_lr", "step"]

# Evaluations that one line search may take; torch would allow a quarter of an iteration beyond max_iter, which for 1 is none.
_SEARCHES = 25


def build(optimizer: optimizers.Optimizer, parameters: Sequence[Tensor]) -> optim.Optimizer:
    """The optimizer over all `parameters`, which are in the order of the forward pass. For `sam` it is its base."""
    spec = optimizers.stepping(optimizer)
    match spec:
        case optimizers.GD():
            return optim.SGD(parameters, spec.lr, foreach=True)
        case optimizers.SGD():
            return optim.SGD(parameters, spec.lr, spec.momentum, spec.dampening, nesterov=spec.nesterov, foreach=True)
        case optimizers.MomentumEMA():
            return _momentum_ema(spec, parameters)
        case optimizers.Adam():
            return optim.Adam(parameters, spec.lr, spec.betas, spec.eps, amsgrad=spec.amsgrad, fused=True)
        case optimizers.AdamW():
            return optim.AdamW(parameters, spec.lr, spec.betas, spec.eps, spec.weight_decay, amsgrad=spec.amsgrad, fused=True)
        case optimizers.NAdam():
            return optim.NAdam(parameters, spec.lr, spec.betas, spec.eps, momentum_decay=spec.momentum_decay, foreach=True)
        case optimizers.RAdam():
            return optim.RAdam(parameters, spec.lr, spec.betas, spec.eps, foreach=True)
        case optimizers.RMSprop():
            return optim.RMSprop(parameters, spec.lr, spec.alpha, spec.eps, momentum=spec.momentum, centered=spec.centered, foreach=True)
        case optimizers.Adagrad():
            first = spec.initial_accumulator_value
            return optim.Adagrad(parameters, spec.lr, spec.lr_decay, initial_accumulator_value=first, eps=spec.eps, foreach=True)
        case optimizers.Adadelta():
            return optim.Adadelta(parameters, spec.lr, spec.rho, spec.eps, foreach=True)
        case optimizers.Adamax():
            return optim.Adamax(parameters, spec.lr, spec.betas, spec.eps, foreach=True)
        case optimizers.Muon():
            return Muon(spec, parameters)
        case optimizers.LBFGS():
            return _lbfgs(spec, parameters)
        case optimizers.Lion():
            return _lion(spec, parameters)
        case optimizers.ScheduleFree():
            return _schedule_free(spec, parameters)
        case _:
            assert_never(spec)


def set_lr(optimizer: optim.Optimizer, lr: float) -> None:
    """The learning rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def step(optimizer: optim.Optimizer, evaluate: Callable[[], float]) -> None:
    """Moves the weights by the gradients they have. Where a line search needs the objective at trial weights, it calls `evaluate`,
    which gives the value and leaves the gradient; its first call is for the weights as they are."""
    if isinstance(optimizer, optim.LBFGS):
        optimizer.step(evaluate)  # type: ignore[no-untyped-call]
    else:
        optimizer.step()


def _momentum_ema(spec: optimizers.MomentumEMA, parameters: Sequence[Tensor]) -> optim.SGD:
    built = optim.SGD(parameters, lr=spec.lr, momentum=spec.beta, dampening=spec.beta, foreach=True)
    for parameter in parameters:
        # Without a buffer torch's first step takes the whole gradient; from zeros it is v ← βv + (1-β)g to the bit.
        built.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return built


def _lbfgs(spec: optimizers.LBFGS, parameters: Sequence[Tensor]) -> optim.LBFGS:
    return optim.LBFGS(
        parameters,
        spec.lr,
        spec.max_iter,
        spec.max_iter * _SEARCHES + 1,
        spec.tolerance_grad,
        spec.tolerance_change,
        spec.history_size,
        spec.line_search_fn,
    )


def _lion(spec: optimizers.Lion, parameters: Sequence[Tensor]) -> optim.Optimizer:
    # Imported where it is used: it takes a second, and no other kind needs it.
    from pytorch_optimizer import Lion

    built: optim.Optimizer = Lion(parameters, spec.lr, spec.betas, foreach=True)
    return built


def _schedule_free(spec: optimizers.ScheduleFree, parameters: Sequence[Tensor]) -> optim.Optimizer:
    from schedulefree import AdamWScheduleFree

    built: optim.Optimizer = AdamWScheduleFree(
        parameters, spec.lr, spec.betas, spec.eps, spec.weight_decay, r=spec.r, weight_lr_power=spec.weight_lr_power, foreach=True
    )
    # The parameters are y from the first step to the last; `averaged` gives x without touching them.
    built.train()  # type: ignore[attr-defined]
    return built

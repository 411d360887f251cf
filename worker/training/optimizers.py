"""Which torch optimizer steps the weights, and the metric in which it steps.

Adam and AdamW take torch's fused form, a single pass over memory (on two CPU cores 3,700 against 2,800 samples a second for
foreach, whose temporaries cost more than its arithmetic). The SGD family takes foreach: it works in place, loses nothing to
fused, and its bits are those of the plain loop.
"""

from collections.abc import Sequence
from typing import assert_never

import torch
from torch import Tensor, optim

from contract.spec import optimizers


def build(optimizer: optimizers.Optimizer, parameters: Sequence[Tensor]) -> optim.Optimizer:
    """The optimizer over all `parameters` as one group."""
    match optimizer:
        case optimizers.GD():
            return optim.SGD(parameters, lr=optimizer.lr, foreach=True)
        case optimizers.SGD():
            return optim.SGD(
                parameters,
                lr=optimizer.lr,
                momentum=optimizer.momentum,
                dampening=optimizer.dampening,
                nesterov=optimizer.nesterov,
                foreach=True,
            )
        case optimizers.MomentumEMA():
            return _momentum_ema(optimizer, parameters)
        case optimizers.Adam():
            return optim.Adam(parameters, optimizer.lr, optimizer.betas, optimizer.eps, amsgrad=optimizer.amsgrad, fused=True)
        case optimizers.AdamW():
            return optim.AdamW(
                parameters, optimizer.lr, optimizer.betas, optimizer.eps, optimizer.weight_decay, amsgrad=optimizer.amsgrad, fused=True
            )
        case _:
            assert_never(optimizer)


def set_lr(optimizer: optim.Optimizer, lr: float) -> None:
    """The learning rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def thresholds(spec: optimizers.Optimizer, built: optim.Optimizer, parameters: Sequence[Tensor], strength: float) -> float | list[Tensor]:
    """lr·λ/D for each value of `parameters`, where D is the metric of the step just made and `strength` is lr·λ > 0.

    The soft threshold that keeps the penalised optimum a fixed point of the step (Yun, Lozano and Yang, ProxGen, NeurIPS 2021).
    One number where the metric is the same everywhere, else fresh tensors shaped as `parameters`.
    """
    match spec:
        case optimizers.GD() | optimizers.MomentumEMA():
            return strength
        case optimizers.SGD():
            # A steady gradient g moves θ by lr·g·(1 - dampening)/(1 - momentum), Nesterov's (dampening 0) included.
            return strength * (1 - spec.dampening) / (1 - spec.momentum) if spec.momentum else strength
        case optimizers.Adam() | optimizers.AdamW():
            return _adam_thresholds(spec, built, parameters, strength)
        case _:
            assert_never(spec)


def _momentum_ema(optimizer: optimizers.MomentumEMA, parameters: Sequence[Tensor]) -> optim.SGD:
    built = optim.SGD(parameters, lr=optimizer.lr, momentum=optimizer.beta, dampening=optimizer.beta, foreach=True)
    for parameter in parameters:
        # Without a buffer torch's first step takes the whole gradient; from zeros it is v ← βv + (1-β)g to the bit.
        built.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return built


def _adam_thresholds(
    spec: optimizers.Adam | optimizers.AdamW, built: optim.Optimizer, parameters: Sequence[Tensor], strength: float
) -> list[Tensor]:
    """strength/(√v̂ + eps), as 1/(√v·a + b) to take four passes in place of six."""
    states = [built.state[parameter] for parameter in parameters]
    correction = 1 - spec.betas[1] ** float(states[0]["step"])
    found = torch._foreach_sqrt([state["exp_avg_sq"] for state in states])
    torch._foreach_mul_(found, 1 / (correction**0.5 * strength))
    torch._foreach_add_(found, spec.eps / strength)
    torch._foreach_reciprocal_(found)
    return list(found)

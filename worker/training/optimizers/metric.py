"""In what metric an optimizer steps: the diagonal D of θ ← θ - lr·D⁻¹m, in which a proximal step must be taken too.

A soft threshold of lr·λ/D keeps the penalised optimum a fixed point of the step; lr·λ would move it (Yun, Lozano and Yang, "ProxGen",
NeurIPS 2021). What an optimizer multiplies a steady gradient with besides, as momentum does, is counted into D.
"""

from collections.abc import Sequence
from math import pow
from typing import Protocol, assert_never

import torch
from torch import Tensor, optim

from contract.spec import optimizers


class Metric(Protocol):
    """The metric of the step just made."""

    def __call__(self, parameters: Sequence[Tensor], scale: float) -> float | list[Tensor]:
        """`scale`/D for each value of `parameters`, `scale` > 0: one number where D is the same everywhere, else fresh tensors shaped
        as `parameters`, which the caller may use up."""
        ...


def of(optimizer: optimizers.Optimizer, built: optim.Optimizer) -> Metric:
    """The metric of `built`, to be asked after each of its steps. Asking raises ValueError where there is none."""
    spec, steps = optimizers.stepping(optimizer), _Steps(built)

    def metric(parameters: Sequence[Tensor], scale: float) -> float | list[Tensor]:
        match spec:
            case optimizers.GD() | optimizers.MomentumEMA():
                return scale
            case optimizers.SGD():
                # A steady gradient g moves θ by lr·g·(1 - dampening)/(1 - momentum), Nesterov's (dampening 0) included.
                return scale * (1 - spec.dampening) / (1 - spec.momentum) if spec.momentum else scale
            case optimizers.Muon() | optimizers.LBFGS() | optimizers.Lion() | optimizers.ScheduleFree():
                raise ValueError(spec.no_metric)
            case _:
                states = [built.state[parameter] for parameter in parameters]
                return _of_state(spec, states, steps.of(states[0]), parameters, scale)

    return metric


class _Steps:
    """How many steps the optimizer has made: read from its state once and counted from then on, for on a GPU each reading waits."""

    def __init__(self, built: optim.Optimizer) -> None:
        self._count: float | None = None
        built.register_step_post_hook(self._made)

    def of(self, state: dict[str, Tensor]) -> float:
        if self._count is None:
            self._count = float(state["step"])
        return self._count

    def _made(self, *_: object) -> None:
        if self._count is not None:
            self._count += 1


_Adaptive = (
    optimizers.Adam
    | optimizers.AdamW
    | optimizers.NAdam
    | optimizers.RAdam
    | optimizers.RMSprop
    | optimizers.Adagrad
    | optimizers.Adadelta
    | optimizers.Adamax
)


def _of_state(
    spec: _Adaptive, states: list[dict[str, Tensor]], step: float, parameters: Sequence[Tensor], scale: float
) -> float | list[Tensor]:
    match spec:
        case optimizers.Adam() | optimizers.AdamW():
            seconds = [state["max_exp_avg_sq" if spec.amsgrad else "exp_avg_sq"] for state in states]
            return _inverse_root(seconds, 1 - spec.betas[1] ** step, spec.eps, scale)
        case optimizers.NAdam():
            seconds = [state["exp_avg_sq"] for state in states]
            return _inverse_root(
                seconds, 1 - spec.betas[1] ** step, spec.eps, scale * _nesterov(spec, float(states[0]["mu_product"]), step)
            )
        case optimizers.RAdam():
            correction, rectified = 1 - spec.betas[1] ** step, _rectified(spec.betas[1], step)
            if rectified is None:
                return scale
            # torch adds eps to √v before the bias is corrected, Adam after.
            seconds = [state["exp_avg_sq"] for state in states]
            return _inverse_root(seconds, 1.0, spec.eps, scale * rectified * correction**0.5)
        case optimizers.RMSprop():
            return _inverse_root(_variances(spec, states), 1.0, spec.eps, scale / (1 - spec.momentum))
        case optimizers.Adagrad():
            return _inverse_root([state["sum"] for state in states], 1.0, spec.eps, scale / (1 + (step - 1) * spec.lr_decay))
        case optimizers.Adadelta():
            return _adadelta(spec, states, parameters, scale)
        case optimizers.Adamax():
            # The infinity norm holds eps already.
            return list(torch._foreach_mul(torch._foreach_reciprocal([state["exp_inf"] for state in states]), scale))
        case _:
            assert_never(spec)


def _inverse_root(seconds: list[Tensor], correction: float, eps: float, scale: float) -> list[Tensor]:
    """scale/(√(v/correction) + eps), as 1/(√v·a + b) to take four passes in place of six."""
    found = torch._foreach_sqrt(seconds)
    torch._foreach_mul_(found, 1 / (correction**0.5 * scale))
    torch._foreach_add_(found, eps / scale)
    torch._foreach_reciprocal_(found)
    return list(found)


def _nesterov(spec: optimizers.NAdam, product: float, step: float) -> float:
    """What NAdam makes of a gradient that was always the same: its share in the step now, and in the momentum looked ahead to."""
    now, ahead = (spec.betas[0] * (1 - 0.5 * pow(0.96, t * spec.momentum_decay)) for t in (step, step + 1))
    return (1 - now) / (1 - product) + ahead * (1 - pow(spec.betas[0], step)) / (1 - product * ahead)


def _rectified(beta: float, step: float) -> float | None:
    """RAdam's rectification; None in the first steps, which it takes with D = 1 (Liu et al., 2020, as torch has it)."""
    longest = 2 / (1 - beta) - 1
    length = longest - 2 * step * beta**step / (1 - beta**step)
    if length <= 5:
        return None
    return float(((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)) ** 0.5)


def _variances(spec: optimizers.RMSprop, states: list[dict[str, Tensor]]) -> list[Tensor]:
    squares = [state["square_avg"] for state in states]
    if not spec.centered:
        return squares
    means = [state["grad_avg"] for state in states]
    return list(torch._foreach_addcmul(squares, means, means, value=-1))


def _adadelta(spec: optimizers.Adadelta, states: list[dict[str, Tensor]], parameters: Sequence[Tensor], scale: float) -> list[Tensor]:
    """scale·√((a + eps)/(v + eps)) with a the mean square of the moves *before* this step's joined it.

    With r = g²/(v + eps) the state now holds a' = ρa + (1-ρ)(a + eps)r, hence a + eps = (a' + ρ·eps)/(ρ + (1-ρ)r), without cancellation.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    found = torch._foreach_add([state["acc_delta"] for state in states], spec.rho * spec.eps)
    below = torch._foreach_add([state["square_avg"] for state in states], spec.eps)
    torch._foreach_mul_(below, spec.rho)
    torch._foreach_addcmul_(below, gradients, gradients, value=1 - spec.rho)
    torch._foreach_div_(found, below)
    torch._foreach_sqrt_(found)
    torch._foreach_mul_(found, scale)
    return list(found)

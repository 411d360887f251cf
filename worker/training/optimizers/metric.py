"""In what metric an optimizer steps: the diagonal D of θ ← θ - lr·D⁻¹m, in which a proximal step must be taken too.

A soft threshold of lr·λ/D keeps the penalised optimum a fixed point of the step; lr·λ would move it (Yun, Lozano and Yang, "ProxGen",
NeurIPS 2021).
"""

from collections.abc import Sequence
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


def of(spec: optimizers.Optimizer, built: optim.Optimizer) -> Metric:
    """The metric of `built`, to be asked after each of its steps."""

    def metric(parameters: Sequence[Tensor], scale: float) -> float | list[Tensor]:
        match spec:
            case optimizers.GD() | optimizers.MomentumEMA():
                return scale
            case optimizers.SGD():
                # A steady gradient g moves θ by lr·g·(1 - dampening)/(1 - momentum), Nesterov's (dampening 0) included.
                return scale * (1 - spec.dampening) / (1 - spec.momentum) if spec.momentum else scale
            case optimizers.Adam() | optimizers.AdamW():
                return _adam(spec, built, parameters, scale)
            case _:
                assert_never(spec)

    return metric


def _adam(spec: optimizers.Adam | optimizers.AdamW, built: optim.Optimizer, parameters: Sequence[Tensor], scale: float) -> list[Tensor]:
    """scale/(√v̂ + eps), as 1/(√v·a + b) to take four passes in place of six."""
    states = [built.state[parameter] for parameter in parameters]
    correction = 1 - spec.betas[1] ** float(states[0]["step"])
    found = torch._foreach_sqrt([state["exp_avg_sq"] for state in states])
    torch._foreach_mul_(found, 1 / (correction**0.5 * scale))
    torch._foreach_add_(found, spec.eps / scale)
    torch._foreach_reciprocal_(found)
    return list(found)

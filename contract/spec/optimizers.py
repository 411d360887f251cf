"""The optimizers. Where torch has the thing, the fields carry torch's own argument names and defaults."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from contract.spec.base import Rate, Spec

Beta = Annotated[float, Field(ge=0, lt=1)]
Epsilon = Annotated[float, Field(gt=0, le=1)]


_AMSGRAD = "it is not offered under amsgrad; drop amsgrad or use apply 'subgradient'"


class _Optimizer(Spec):
    lr: Rate

    @property
    def no_metric(self) -> str | None:
        """Why a proximal step cannot be taken in this optimizer's metric, and the remedy; None where it can."""
        return None


class GD(_Optimizer):
    """Gradient descent: one step an epoch, θ ← θ - lr·∇J(θ), with the gradient over the whole training set."""

    kind: Literal["gd"] = "gd"
    lr: Rate = 0.1


class SGD(_Optimizer):
    """torch.optim.SGD: stochastic gradient descent, with heavy-ball or Nesterov momentum on demand."""

    kind: Literal["sgd"] = "sgd"
    lr: Rate = 1e-3
    momentum: Beta = 0.0
    dampening: Beta = 0.0
    nesterov: bool = False

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> "SGD":
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise ValueError("nesterov needs momentum above 0 and dampening 0; set momentum (0.9 is usual) or drop nesterov")
        return self


class MomentumEMA(_Optimizer):
    """Momentum as an exponential moving average from zero: v ← βv + (1-β)∇J, θ ← θ - lr·v."""

    kind: Literal["momentum_ema"] = "momentum_ema"
    lr: Rate = 1e-2
    beta: Beta = 0.9


class Adam(_Optimizer):
    """torch.optim.Adam (Kingma and Ba, 2015)."""

    kind: Literal["adam"] = "adam"
    lr: Rate = 1e-3
    betas: Annotated[tuple[Beta, Beta], Field(strict=False)] = (0.9, 0.999)
    eps: Epsilon = 1e-8
    amsgrad: bool = False

    @property
    def no_metric(self) -> str | None:
        return _AMSGRAD if self.amsgrad else None


class AdamW(_Optimizer):
    """torch.optim.AdamW (Loshchilov and Hutter, 2019): Adam with a decay of its own, θ ← (1 - lr·weight_decay)·θ.

    The decay touches every parameter, biases too, as torch's does; it is no part of the objective.
    """

    kind: Literal["adamw"] = "adamw"
    lr: Rate = 1e-3
    betas: Annotated[tuple[Beta, Beta], Field(strict=False)] = (0.9, 0.999)
    eps: Epsilon = 1e-8
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 1e-2
    amsgrad: bool = False

    @property
    def no_metric(self) -> str | None:
        return _AMSGRAD if self.amsgrad else None


Optimizer = Annotated[GD | SGD | MomentumEMA | Adam | AdamW, Field(discriminator="kind")]

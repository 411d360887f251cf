"""The optimizers. Where a library has the thing, the fields carry its own argument names and defaults.

None of those added by name has a `weight_decay` where the library has one: the penalties `l2` (coupled) and `decoupled_decay` say which
is meant. AdamW and schedule_free keep theirs, for it is what defines the one and is taken at a point of its own in the other.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field, field_validator, model_validator

from contract.spec.base import Rate, Spec

Beta = Annotated[float, Field(ge=0, lt=1)]
Betas = Annotated[
    tuple[Beta, Beta],
    Field(strict=False, description="Shares of the means of the gradient and of its square that a step keeps."),
]
# Below, eps underflows beside float32 weights, and one whose gradient is always 0 becomes 0/0.
Epsilon = Annotated[float, Field(ge=1e-30, le=1, description="Added to what is divided by, so that it is never 0.")]
Decay = Annotated[float, Field(ge=0, le=10)]

_SUBGRADIENT = "use a coupled penalty (l2, or l1 with apply 'subgradient'), or an optimizer with a diagonal metric such as adam"


class _Optimizer(Spec):
    @property
    def full_batch(self) -> bool:
        """Whether its step is only defined on the gradient over the whole training set."""
        return False

    @property
    def no_metric(self) -> str | None:
        """Why a proximal step cannot be taken in this optimizer's metric, and the remedy; None where it can."""
        return None

    @property
    def no_kinks(self) -> str | None:
        """Why a coupled penalty must have a continuous gradient here, and the remedy; None where a subgradient will do."""
        return None

    @property
    def no_decay(self) -> str | None:
        """Why a decay beside the step has no meaning here, and the remedy; None where it has."""
        return None


class GD(_Optimizer):
    """Gradient descent: one step an epoch, θ ← θ - lr·∇J(θ), with the gradient over the whole training set."""

    kind: Literal["gd"] = "gd"
    lr: Rate = 0.1

    @property
    def full_batch(self) -> bool:
        return True


class SGD(_Optimizer):
    """torch.optim.SGD: stochastic gradient descent, with heavy-ball or Nesterov momentum on demand."""

    kind: Literal["sgd"] = "sgd"
    lr: Rate = 1e-3
    momentum: Beta = 0.0
    """Share of the velocity that a step keeps; 0 has none."""
    dampening: Beta = 0.0
    """Share of the gradient that is kept out of the momentum."""
    nesterov: bool = False
    """Nesterov's momentum: step from where the momentum will have led. Needs momentum and no dampening."""

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
    """β: the share of the velocity that a step keeps."""


class Adam(_Optimizer):
    """torch.optim.Adam (Kingma and Ba, 2015)."""

    kind: Literal["adam"] = "adam"
    lr: Rate = 1e-3
    betas: Betas = (0.9, 0.999)
    eps: Epsilon = 1e-8
    amsgrad: bool = False
    """Divide by the largest v̂ so far in place of the present one."""


class AdamW(_Optimizer):
    """torch.optim.AdamW (Loshchilov and Hutter, 2019): Adam with a decay of its own, θ ← (1 - lr·weight_decay)·θ.

    The decay touches every parameter, biases too, as torch's does; it is no part of the objective.
    """

    kind: Literal["adamw"] = "adamw"
    lr: Rate = 1e-3
    betas: Betas = (0.9, 0.999)
    eps: Epsilon = 1e-8
    weight_decay: Decay = 1e-2
    """Each step takes the share lr·weight_decay off every parameter."""
    amsgrad: bool = False
    """Divide by the largest v̂ so far in place of the present one."""


class NAdam(_Optimizer):
    """torch.optim.NAdam (Dozat, 2016): Adam with Nesterov's look ahead, its β₁ rising by `momentum_decay`."""

    kind: Literal["nadam"] = "nadam"
    lr: Rate = 2e-3
    betas: Betas = (0.9, 0.999)
    eps: Epsilon = 1e-8
    momentum_decay: Annotated[float, Field(ge=0, le=1)] = 4e-3
    """How fast β₁ rises: β₁(1 - ½·0.96^(t·momentum_decay)) at step t."""


class RAdam(_Optimizer):
    """torch.optim.RAdam (Liu et al., 2020): Adam whose first steps, while √v̂ is not to be trusted, are momentum alone."""

    kind: Literal["radam"] = "radam"
    lr: Rate = 1e-3
    betas: Betas = (0.9, 0.999)
    eps: Epsilon = 1e-8


class RMSprop(_Optimizer):
    """torch.optim.RMSprop (Hinton, 2012; `centered`: Graves, 2013). Centered, D falls to eps where gradients stop varying."""

    kind: Literal["rmsprop"] = "rmsprop"
    lr: Rate = 1e-2
    alpha: Beta = 0.99
    """Share of the mean of squared gradients that a step keeps."""
    eps: Epsilon = 1e-8
    momentum: Beta = 0.0
    """Share of the velocity that a step keeps; 0 has none."""
    centered: bool = False
    """Divide by the variance of the gradients in place of the mean of their squares."""


class Adagrad(_Optimizer):
    """torch.optim.Adagrad (Duchi, Hazan and Singer, 2011)."""

    kind: Literal["adagrad"] = "adagrad"
    lr: Rate = 1e-2
    lr_decay: Annotated[float, Field(ge=0, le=10)] = 0.0
    """lr is divided by 1 + (t - 1)·lr_decay at step t."""
    initial_accumulator_value: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    """Where the sum of squared gradients begins."""
    eps: Epsilon = 1e-10


class Adadelta(_Optimizer):
    """torch.optim.Adadelta (Zeiler, 2012)."""

    kind: Literal["adadelta"] = "adadelta"
    lr: Rate = 1.0
    rho: Annotated[float, Field(ge=1e-6, lt=1)] = 0.9
    """Share of the means of squared gradients and of squared steps that a step keeps. Never 0: a step that remembers no other tells no
    metric to a weight whose gradient is 0."""
    eps: Epsilon = 1e-6


class Adamax(_Optimizer):
    """torch.optim.Adamax (Kingma and Ba, 2015, section 7): Adam with the largest recent gradient for its scale."""

    kind: Literal["adamax"] = "adamax"
    lr: Rate = 2e-3
    betas: Betas = (0.9, 0.999)
    """Shares of the mean of the gradient and of its largest size so far that a step keeps."""
    eps: Epsilon = 1e-8


class Muon(_Optimizer):
    """torch.optim.Muon (Jordan, 2024) on the hidden matrices, torch.optim.AdamW without decay on biases, norms and the output layer.

    A filter bank [O, I, k, k] is stepped as the matrix [O, I·k·k]. The orthogonalised step is scaled by 0.2·√max(rows, columns), so
    that its root mean square is AdamW's and one lr serves both (Liu et al., "Muon is Scalable for LLM Training", 2025).
    """

    kind: Literal["muon"] = "muon"
    lr: Rate = 1e-3
    momentum: Beta = 0.95
    """Share of the velocity that a step keeps."""
    nesterov: bool = True
    """Nesterov's momentum: step from where the momentum will have led."""
    ns_steps: Annotated[int, Field(ge=1, le=20)] = 5
    """Newton-Schulz iterations towards the nearest orthogonal matrix."""
    eps: Epsilon = 1e-7
    """The least norm by which a matrix is divided before it is orthogonalised."""
    betas: Betas = (0.9, 0.999)
    """Of the AdamW beside it: shares of the means of the gradient and of its square that a step keeps."""

    @property
    def no_metric(self) -> str | None:
        return f"muon steps whole matrices by an orthogonalisation, which no diagonal metric describes; {_SUBGRADIENT}"


class LBFGS(_Optimizer):
    """torch.optim.LBFGS (Liu and Nocedal, 1989) with a strong-Wolfe line search on the whole training set.

    The line search sees the data loss and all penalties. Each step is `max_iter` iterations; with 1, every iteration ends at a step
    boundary, where a job can be saved, stopped and resumed. A stop is not heard within a line search.
    """

    kind: Literal["lbfgs"] = "lbfgs"
    lr: Rate = 1.0
    """The first trial of each line search; the step itself without one."""
    max_iter: Annotated[int, Field(ge=1, le=100)] = 1
    """Iterations a step."""
    tolerance_grad: Annotated[float, Field(ge=0, le=1)] = 1e-7
    """A step whose largest gradient is below this changes nothing."""
    tolerance_change: Annotated[float, Field(ge=1e-16, le=1)] = 1e-9
    """A bracket narrower than this ends a line search; a slope smaller than this ends the descent."""
    history_size: Annotated[int, Field(ge=1, le=100)] = 10
    """Pairs kept to estimate the curvature, each as large as two networks, in memory and in every checkpoint."""
    line_search_fn: Literal["strong_wolfe"] | None = "strong_wolfe"
    """How long a step is: found by a search for the strong Wolfe conditions, or lr where null."""

    @property
    def full_batch(self) -> bool:
        return True

    @property
    def no_metric(self) -> str | None:
        return "the metric of lbfgs is an estimate of the curvature, not a diagonal; use gd, which takes proximal steps, or l2"

    @property
    def no_kinks(self) -> str | None:
        return "the curvature that lbfgs estimates needs a continuous gradient; use gd or adam, or l2"

    @property
    def no_decay(self) -> str | None:
        return "the line search of lbfgs would not see a decay beside the step; use l2"


class Lion(_Optimizer):
    """pytorch_optimizer.Lion (Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023): the sign of a momentum."""

    kind: Literal["lion"] = "lion"
    lr: Rate = 1e-4
    betas: Betas = (0.9, 0.99)
    """The momentum's share in the sign that is stepped by, and the share of the momentum that a step keeps."""

    @property
    def no_metric(self) -> str | None:
        return f"lion steps by a sign, whose length says nothing of the gradient's; {_SUBGRADIENT}"


class ScheduleFree(_Optimizer):
    """schedulefree.AdamWScheduleFree (Defazio et al., "The Road Less Scheduled", 2024). Trains at y, is measured and saved at the average x."""

    kind: Literal["schedule_free"] = "schedule_free"
    lr: Rate = 2.5e-3
    betas: Annotated[tuple[Annotated[float, Field(ge=1e-3, lt=1)], Beta], Field(strict=False)] = (0.9, 0.999)
    """The share of the average x in the point y where gradients are taken (towards 0 the average can no longer be told from y, whose
    rounding it has times 1/β₁), and the share of the mean of squared gradients that a step keeps."""
    eps: Epsilon = 1e-8
    weight_decay: Decay = 0.0
    """Taken at y, on every parameter; it is no part of the objective."""
    r: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Step t weighs t^r in the average."""
    weight_lr_power: Annotated[float, Field(ge=0, le=100)] = 2.0
    """A step weighs its largest lr so far to this power."""

    @property
    def no_metric(self) -> str | None:
        return f"a proximal step would act on the iterate z of schedule_free, and the average x has no exact zeros; {_SUBGRADIENT}"

    @property
    def no_decay(self) -> str | None:
        return "a decay of y alone would leave the iterate z of schedule_free behind; use its own weight_decay, which moves both"


FirstOrder = Annotated[
    GD | SGD | MomentumEMA | Adam | AdamW | NAdam | RAdam | RMSprop | Adagrad | Adadelta | Adamax | Muon | Lion,
    Field(discriminator="kind"),
]


_NO_BASE: Final = {
    "lbfgs": "the line search of lbfgs needs loss and gradient at the same point, and sam takes its gradient beside it",
    "schedule_free": "schedule_free takes its gradient at a point of its own already, between its iterate and its average",
    "sam": "sam within sam would step aside twice",
}


class SAM(_Optimizer):
    """Sharpness-aware minimisation (Foret et al., 2021) around another optimizer: `base` steps at θ with the gradient of the data loss
    at θ + rho·g/‖g‖. Penalties are taken at θ. Two passes over the rows of each step."""

    kind: Literal["sam"] = "sam"
    base: FirstOrder = Adam()
    """The optimizer that steps, with its own lr."""
    rho: Annotated[float, Field(gt=0, le=10)] = 0.05
    """How far beside the weights the gradient is taken."""

    @field_validator("base", mode="before")
    @classmethod
    def _base_steps_along_one_gradient(cls, given: Any) -> Any:
        kind = given.get("kind") if isinstance(given, Mapping) else getattr(given, "kind", None)
        if isinstance(kind, str) and kind in _NO_BASE:
            raise ValueError(f"{_NO_BASE[kind]}; use adam or sgd as the base")
        return given

    @property
    def lr(self) -> float:
        """The step size of the optimizer below, which alone takes steps."""
        return self.base.lr

    @property
    def full_batch(self) -> bool:
        return self.base.full_batch

    @property
    def no_metric(self) -> str | None:
        return self.base.no_metric


Optimizer = Annotated[
    GD
    | SGD
    | MomentumEMA
    | Adam
    | AdamW
    | NAdam
    | RAdam
    | RMSprop
    | Adagrad
    | Adadelta
    | Adamax
    | Muon
    | LBFGS
    | Lion
    | ScheduleFree
    | SAM,
    Field(discriminator="kind"),
]


def stepping(optimizer: Optimizer) -> FirstOrder | LBFGS | ScheduleFree:
    """The optimizer that moves the weights: the base of `sam`, else itself."""
    return optimizer.base if isinstance(optimizer, SAM) else optimizer

"""How a job comes to rest: when its weights are good enough, which of them it gives away, and how a sparse one is refitted."""

from typing import Annotated, Literal

from pydantic import Field

from contract.spec.base import Rate, Spec
from contract.spec.penalties import Penalty

Bound = Annotated[float, Field(gt=0, le=1e6)]
Decay = Annotated[float, Field(ge=0, lt=1)]


class Tolerance(Spec):
    """Stop once the objective is stationary.

    At the end of each epoch `train.gradient_mapping` = ‖θ - prox_tP(θ - t·∇F(θ))‖₂ / t is worked out over all training rows, as they
    are and with the network in evaluation mode: F the mean data loss plus the coupled penalties, P the proximal ones, each at its
    full λ, t the optimizer's lr. It is 0 exactly where the penalised objective is stationary, and the norm of the gradient where
    nothing is proximal (Nesterov, 2013; Beck, 2017, chapter 10). Costs one more pass over the training rows an epoch.
    """

    gradient_mapping: Bound
    """The job stops after the first epoch whose norm is not above this. In float32 about 1e-5 can be reached, in float64 1e-10."""


class EMA(Spec):
    """An exponential moving average of the weights: s ← s + (1 - d)(θ - s) after each step, d = min(decay, (1 + t)/(10 + t)), t from 0.

    Validation, the result and `model.safetensors` take s in place of θ; training does not know of it (Polyak and Juditsky, 1992).
    Running statistics of norms are averaged too. Where a proximal penalty holds θ at exact zero, s is given away as zero.
    """

    kind: Literal["ema"] = "ema"
    decay: Decay = 0.999
    """Share of the average that a step keeps."""


class Polish(Spec):
    """Refit a sparse network: so many epochs more, after the others, with its zeros frozen and what made them switched off.

    A penalty that selects weights also shrinks those it keeps; without it, on the support it chose, that bias is trained away
    (Belloni and Chernozhukov, 2013). Coupled penalties, decays and norm bounds stay on. Needs a proximal penalty.
    """

    epochs: Annotated[int, Field(ge=1, le=10_000)]
    """Passes over the training rows, after those of the training."""
    lr: Rate | None = None
    """At the first step; falls linearly towards 0. A tenth of the optimizer's lr if not given."""


def sparsifies(penalty: Penalty) -> bool:
    """Whether it sets weights to exact zero after a step."""
    # A norm bound acts after the step as well; it has no λ and makes no zeros.
    return penalty.is_proximal and penalty.strength > 0

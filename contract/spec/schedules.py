"""How the learning rate moves over a job's steps. Every schedule may begin with a linear warm-up; what follows takes the steps left."""

from typing import Annotated, Literal

from pydantic import Field

from contract.spec.base import Fraction, Metric, Mode, Spec
from contract.spec.limits import improves

WarmupEpochs = Annotated[float, Field(ge=0, le=10_000)]


class _Schedule(Spec):
    warmup_epochs: WarmupEpochs = 0.0
    """lr rises linearly from lr/(warm-up steps) to lr over so many epochs."""


class Constant(_Schedule):
    """lr throughout."""

    kind: Literal["constant"] = "constant"


class Step(_Schedule):
    """lr is multiplied by `gamma` every `step_epochs` epochs after the warm-up (torch.optim.lr_scheduler.StepLR)."""

    kind: Literal["step"] = "step"
    step_epochs: Annotated[int, Field(ge=1, le=10_000)] = 3
    """Epochs from one fall to the next."""
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    """What lr is multiplied by."""


class Cosine(_Schedule):
    """lr falls along half a cosine to `min_factor`·lr at the last step (Loshchilov and Hutter, 2017)."""

    kind: Literal["cosine"] = "cosine"
    min_factor: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Where lr ends, as a share of itself."""


class OneCycle(_Schedule):
    """lr rises from lr/div_factor to its peak lr and falls to lr/(div_factor·final_div_factor), both along half a cosine
    (torch.optim.lr_scheduler.OneCycleLR; Smith and Topin, 2018). Momentum is not cycled."""

    kind: Literal["one_cycle"] = "one_cycle"
    pct_start: Fraction = 0.3
    """Share of the steps on which lr rises."""
    div_factor: Annotated[float, Field(ge=1, le=1e9)] = 25.0
    """lr begins at its peak divided by this."""
    final_div_factor: Annotated[float, Field(ge=1, le=1e9)] = 1e4
    """lr ends at where it began divided by this."""


class Plateau(_Schedule):
    """lr is multiplied by `factor` when `monitor` has not improved for more than `patience` epochs
    (torch.optim.lr_scheduler.ReduceLROnPlateau)."""

    kind: Literal["plateau"] = "plateau"
    monitor: Metric = "val.loss"
    """The metric that has to improve; `train.loss` by default where no rows are held out."""
    mode: Mode = Field(default_factory=improves)
    """`min` or `max`; by default what the metric's name says: accuracies rise, losses fall."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """What lr is multiplied by."""
    patience: Annotated[int, Field(ge=0, le=10_000)] = 10
    """Epochs without an improvement that are let pass."""
    threshold: Annotated[float, Field(ge=0, le=1e6)] = 1e-4
    """By how much a value must beat the best to count: a share of the best, or the difference itself under `abs`."""
    threshold_mode: Literal["rel", "abs"] = "rel"
    """How `threshold` is meant."""
    cooldown: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Epochs after a reduction in which none is counted."""
    min_factor: Annotated[float, Field(ge=0, le=1)] = 0.0
    """lr never falls below this share of itself."""


Schedule = Annotated[Constant | Step | Cosine | OneCycle | Plateau, Field(discriminator="kind")]

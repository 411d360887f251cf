"""How the learning rate moves over a job's steps. Every schedule may begin with a linear warm-up."""

from typing import Annotated, Literal

from pydantic import Field

from contract.spec.base import Spec

WarmupEpochs = Annotated[float, Field(ge=0, le=10_000)]


class Constant(Spec):
    """lr throughout."""

    kind: Literal["constant"] = "constant"
    warmup_epochs: WarmupEpochs = 0.0
    """lr rises linearly from lr/(warm-up steps) to lr over so many epochs."""


class Cosine(Spec):
    """lr falls along half a cosine to `min_factor`·lr at the last step (Loshchilov and Hutter, 2017)."""

    kind: Literal["cosine"] = "cosine"
    warmup_epochs: WarmupEpochs = 0.0
    """lr rises linearly from lr/(warm-up steps) to lr over so many epochs; the cosine takes the rest."""
    min_factor: Annotated[float, Field(ge=0, le=1)] = 0.0


Schedule = Annotated[Constant | Cosine, Field(discriminator="kind")]

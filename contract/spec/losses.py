"""The data losses, each a mean over the samples, so that λ does not depend on the batch size."""

from typing import Annotated, Literal

from pydantic import Field

from contract.spec.base import Spec


class CrossEntropy(Spec):
    """-(1/n) Σ log softmax(f(x))_y on logits; the targets are class indices."""

    kind: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the target's mass spread evenly over all classes (Szegedy et al., 2016)."""


class HalfMSE(Spec):
    """1/(2n) Σ ‖f(x) - y‖², on real targets, or on the one-hot of class indices."""

    kind: Literal["half_mse"] = "half_mse"


Loss = Annotated[CrossEntropy | HalfMSE, Field(discriminator="kind")]

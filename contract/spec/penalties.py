"""The penalties: what is added to the mean data loss once a step, each with its strength λ."""

from typing import Annotated, Literal

from pydantic import Field

from contract.spec.base import LayerName, Spec, Weight

On = Literal["weights", "all"] | Annotated[tuple[LayerName, ...], Field(min_length=1, max_length=256, strict=False)]
RampEpochs = Annotated[float, Field(ge=0, le=10_000)]


class _Penalty(Spec):
    kind: str
    lambda_: Annotated[Weight, Field(alias="lambda")]
    """λ, the strength."""
    on: On = "weights"
    """`weights` (no biases, no norm parameters), `all` parameters, or the weights of the layers named."""
    warmup_epochs: RampEpochs = 0.0
    """λ rises linearly from 0 over so many epochs. Advisable for a proximal step with Adam, whose first steps have a huge metric."""

    @property
    def is_proximal(self) -> bool:
        """Whether it acts on the weights after a step, in the optimizer's metric, rather than on the gradient before it."""
        return False

    @property
    def is_smooth(self) -> bool:
        """Whether its gradient is continuous, so that a line search or a curvature estimate may rely on it."""
        return False


class L1(_Penalty):
    """λ Σ|θ|. `proximal` soft-thresholds after each step in the optimizer's own metric and gives exact zeros; `subgradient`
    adds λ·sign(θ) to the gradient and gives none (Tibshirani, 1996; Yun, Lozano and Yang, ProxGen, NeurIPS 2021)."""

    kind: Literal["l1"] = "l1"
    apply: Literal["proximal", "subgradient"] = "proximal"

    @property
    def is_proximal(self) -> bool:
        return self.apply == "proximal"


class L2(_Penalty):
    """(λ/2) ‖θ‖², coupled: λθ is added to the gradient before the optimizer's moments (torch's `weight_decay` on SGD and Adam)."""

    kind: Literal["l2"] = "l2"

    @property
    def is_smooth(self) -> bool:
        return True


Penalty = Annotated[L1 | L2, Field(discriminator="kind")]

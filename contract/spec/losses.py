"""The data losses, each a mean over the samples, so that λ does not depend on the batch size."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from contract.spec.base import Spec

Share = Annotated[float, Field(ge=0, le=100)]


class _Loss(Spec):
    @property
    def needs_classes(self) -> bool:
        """Whether it is taken on class indices only."""
        return True


class CrossEntropy(_Loss):
    """-(1/n) Σ log softmax(f(x))_y on logits; the targets are class indices."""

    kind: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the target's mass spread evenly over all classes (Szegedy et al., 2016)."""


class HalfMSE(_Loss):
    """1/(2n) Σ ‖f(x) - y‖², on real targets, or on the one-hot of class indices."""

    kind: Literal["half_mse"] = "half_mse"

    @property
    def needs_classes(self) -> bool:
        return False


class GCE(_Loss):
    """Generalised cross entropy, (1/n) Σ (1 - p_y^q)/q with p = softmax(f(x)), for labels some of which are wrong
    (Zhang and Sabuncu, NeurIPS 2018). A row whose label the network doubts pulls by p_y^q of its cross entropy's pull."""

    kind: Literal["gce"] = "gce"
    q: Annotated[float, Field(ge=1e-6, le=1)] = 0.7
    """Between cross entropy (towards 0) and half the absolute error ‖p - e_y‖₁ (1), which forgives the most and learns the slowest."""


class SCE(_Loss):
    """Symmetric cross entropy, alpha·CE + beta·RCE, for labels some of which are wrong (Wang et al., ICCV 2019).

    RCE = -Σ_k p_k log e_k is the cross entropy with prediction and label exchanged; log 0 is taken as `log_zero`.
    """

    kind: Literal["sce"] = "sce"
    alpha: Share = 0.1
    """Weight of the cross entropy."""
    beta: Share = 1.0
    """Weight of the reverse cross entropy, which forgives wrong labels."""
    log_zero: Annotated[float, Field(ge=-100, lt=0)] = -4.0
    """The paper's A: -4 for ten classes, -6 for a hundred."""

    @model_validator(mode="after")
    def _one_of_the_two_counts(self) -> "SCE":
        if self.alpha + self.beta < 1e-6:
            raise ValueError("alpha and beta are both below 1e-6, which leaves no loss; set alpha (0.1 is usual), beta (1) or both")
        return self


def _bootstrap_beta(fields: dict[str, Any]) -> float:
    return 0.95 if fields.get("target") == "soft" else 0.8


class Bootstrap(_Loss):
    """Cross entropy towards a mix of the label and the network's own opinion, for labels some of which are wrong
    (Reed et al., ICLR 2015 workshop): -(1/n) Σ_k (beta·e_k + (1 - beta)·t_k) log p_k with p = softmax(f(x))."""

    kind: Literal["bootstrap"] = "bootstrap"
    target: Literal["hard", "soft"] = "hard"
    """The opinion t: `hard` is the one-hot of the likeliest class, `soft` is p itself (the gradient flows through it too)."""
    beta: Annotated[float, Field(gt=0, le=1, default_factory=_bootstrap_beta)]
    """The label's share: 0.8 with hard targets and 0.95 with soft ones unless given; 1 is plain cross entropy."""


Loss = Annotated[CrossEntropy | HalfMSE | GCE | SCE | Bootstrap, Field(discriminator="kind")]

"""The penalties: what is added to the mean data loss once a step, each with its strength λ.

`docs/mathematics.md` has each one's exact step. θ are the values it lies on; W a layer's weight as a matrix, a row for each
filter (its channels and kernel side by side) or neuron; θ_g a group of |g| values.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from contract.spec.base import LayerName, Spec, Weight

On = Literal["weights", "all"] | Annotated[tuple[LayerName, ...], Field(min_length=1, max_length=256, strict=False)]
RampEpochs = Annotated[float, Field(ge=0, le=10_000)]
Share = Annotated[float, Field(ge=0, le=1)]
By = Literal["filter", "neuron", "input_channel"]


class _Laid(Spec):
    kind: str
    on: On = "weights"
    """`weights` (no biases, no norm parameters), `all` parameters, or the weights of the layers named."""

    @property
    def is_proximal(self) -> bool:
        """Whether it acts on the weights after a step, in the optimizer's metric, rather than on the gradient before it."""
        return False

    @property
    def is_smooth(self) -> bool:
        """Whether its gradient is continuous, so that a line search or a curvature estimate may rely on it."""
        return False

    @property
    def is_active(self) -> bool:
        """Whether it does anything: a penalty of λ 0 does not."""
        return True

    @property
    def in_objective(self) -> bool:
        """Whether training descends its value, so that it belongs to `train.objective`."""
        return True

    @property
    def strength(self) -> float:
        """λ, or 0 for a constraint, which has none."""
        return 0.0

    @property
    def dimensions(self) -> frozenset[int] | None:
        """How many dimensions a weight has that it can lie on: 4 a convolution's, 2 a linear layer's. None: any parameter."""
        return None


class _Penalty(_Laid):
    lambda_: Annotated[Weight, Field(alias="lambda")]
    """λ, the strength."""
    warmup_epochs: RampEpochs = 0.0
    """λ rises linearly from 0 over so many epochs. Advisable for a proximal step with Adam, whose first steps have a huge metric."""

    @property
    def is_active(self) -> bool:
        return self.lambda_ > 0

    @property
    def strength(self) -> float:
        return self.lambda_


class _Proximal(_Penalty):
    @property
    def is_proximal(self) -> bool:
        return True


class _Matrices(_Laid):
    @property
    def dimensions(self) -> frozenset[int]:
        return frozenset({2, 4})


class _Groups(_Proximal):
    by: By = "filter"
    """`filter`: the weights of one output channel of a convolution. `neuron`: those of one output of a linear layer. `input_channel`:
    all that read one input channel of a convolution, or one input value of a linear layer. Other layers are left alone."""
    with_bias: bool = False
    """Whether a filter's or neuron's bias, and the scale and shift of the norm behind it, are in its group: then a group at zero
    is a filter that gives nothing and can be removed."""

    @property
    def dimensions(self) -> frozenset[int]:
        return {"filter": frozenset({4}), "neuron": frozenset({2}), "input_channel": frozenset({2, 4})}[self.by]

    @model_validator(mode="after")
    def _an_input_has_no_bias(self) -> "_Groups":
        if self.with_bias and self.by == "input_channel":
            raise ValueError("a bias belongs to an output and to no input channel; drop with_bias, or use by 'filter' or 'neuron'")
        return self


class L1(_Penalty):
    """λ Σ|θ|. `proximal` soft-thresholds after each step in the optimizer's own metric and gives exact zeros; `subgradient`
    adds λ·sign(θ) to the gradient and gives none (Tibshirani, 1996; Yun, Lozano and Yang, ProxGen, NeurIPS 2021)."""

    kind: Literal["l1"] = "l1"
    apply: Literal["proximal", "subgradient"] = "proximal"
    """How it acts: after the step with exact zeros, or in the gradient with none."""

    @property
    def is_proximal(self) -> bool:
        return self.apply == "proximal"


class DecoupledDecay(_Penalty):
    """θ ← (1 - lr·λ)·θ before each step (Loshchilov and Hutter, 2019). With plain SGD it is `l2`; with Adam it is the gradient of
    nothing, so (λ/2)‖θ‖² is reported as `train.diagnostic.decoupled_decay` and is no part of `train.objective`."""

    kind: Literal["decoupled_decay"] = "decoupled_decay"

    @property
    def in_objective(self) -> bool:
        return False


class ElasticNet(_Proximal):
    """λ (ρ Σ|θ| + (1-ρ)/2 ‖θ‖²), proximal (Zou and Hastie, 2005). ρ is `l1_ratio`, as in scikit-learn."""

    kind: Literal["elastic_net"] = "elastic_net"
    l1_ratio: Share = 0.5
    """ρ: 1 is `l1`, 0 a proximal `l2`."""


class GroupLasso(_Groups):
    """λ Σ √|g| ‖θ_g‖, proximal: whole filters, neurons or inputs become exact zeros (Yuan and Lin, 2006; Deleu and Bengio, 2021)."""

    kind: Literal["group_lasso"] = "group_lasso"


class SparseGroup(_Groups):
    """λ (ρ Σ|θ| + (1-ρ) Σ √|g| ‖θ_g‖), proximal: zero groups, and zeros within the others (Simon et al., 2013)."""

    kind: Literal["sparse_group"] = "sparse_group"
    l1_ratio: Share = 0.5
    """ρ: 1 is `l1`, 0 is `group_lasso`."""


class MaxNorm(_Matrices):
    """Each row of W is scaled back to norm `max_norm` where it is longer, after each step (Srivastava et al., 2014; torch.renorm).
    A constraint: it has no λ, its value is 0, and it comes after all penalties."""

    kind: Literal["max_norm"] = "max_norm"
    max_norm: Annotated[float, Field(gt=0, le=1e6)] = 3.0
    """The greatest norm of a filter's or neuron's weights."""

    @property
    def is_proximal(self) -> bool:
        return True


class MCP(_Proximal):
    """Σ λ|θ| - θ²/(2γ) up to |θ| = γλ, and γλ²/2 beyond: large weights are not shrunk (minimax concave penalty; Zhang, 2010)."""

    kind: Literal["mcp"] = "mcp"
    gamma: Annotated[float, Field(gt=1, le=1e6)] = 3.0
    """γ: near 1 a hard threshold, large as `l1`."""


class SCAD(_Proximal):
    """Σ λ|θ| up to λ, then (2aλ|θ| - θ² - λ²)/(2(a-1)) up to aλ, then λ²(a+1)/2 (Fan and Li, 2001)."""

    kind: Literal["scad"] = "scad"
    a: Annotated[float, Field(gt=2, le=1e6)] = 3.7
    """a: beyond a·λ a weight is not shrunk; 3.7 is the paper's."""


class LHalf(_Proximal):
    """λ Σ √|θ|, proximal by the half-thresholding formula (Xu, Chang, Xu and Zhang, 2012)."""

    kind: Literal["l_half"] = "l_half"


class L0(_Proximal):
    """λ · (number of θ other than 0), proximal by a hard threshold (Blumensath and Davies, 2008)."""

    kind: Literal["l0"] = "l0"


class Orthogonal(_Penalty, _Matrices):
    """(λ/2) Σ ‖WWᵀ - I‖², or WᵀW where that is smaller: rows (columns) of norm 1 at right angles (Brock et al., 2017; Bansal,
    Chen and Wang, 2018)."""

    kind: Literal["orthogonal"] = "orthogonal"

    @property
    def is_smooth(self) -> bool:
        return True


class Spectral(_Penalty, _Matrices):
    """(λ/2) Σ σ_max(W)², by one power iteration a step (Yoshida and Miyato, 2017)."""

    kind: Literal["spectral"] = "spectral"


class Hoyer(_Penalty):
    """λ Σ ‖W‖₁²/‖W‖₂² over parameters: sparsity whatever the scale, between 1 and a parameter's size; gives few weights near zero
    rather than exact zeros (Yang, Wen and Li, DeepHoyer, 2020)."""

    kind: Literal["hoyer"] = "hoyer"


class L2(_Penalty):
    """(λ/2) ‖θ‖², coupled: λθ is added to the gradient before the optimizer's moments (torch's `weight_decay` on SGD and Adam)."""

    kind: Literal["l2"] = "l2"

    @property
    def is_smooth(self) -> bool:
        return True


Convex = L1 | L2 | DecoupledDecay | ElasticNet | GroupLasso | SparseGroup | MaxNorm
Penalty = Annotated[Convex | MCP | SCAD | LHalf | L0 | Orthogonal | Spectral | Hoyer, Field(discriminator="kind")]

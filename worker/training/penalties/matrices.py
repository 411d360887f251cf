"""The penalties on a layer's weight as a matrix: its rows' angles, and its largest singular value."""

from dataclasses import dataclass

import torch
from torch import Tensor

from contract.spec import penalties
from worker.training.penalties.term import Term

_REPORT_STEPS = 50


@dataclass(frozen=True)
class Orthogonal(Term):
    """(λ/2) Σ ‖WWᵀ - I‖² with the gradient 2λ(WWᵀ - I)W; W stands on end where it has more rows than columns."""

    spec: penalties.Orthogonal

    def add_gradient(self, strength: float) -> None:
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            wide = _wide(parameter)
            slope = _skew(wide) @ wide
            gradient.add_((slope.T if len(parameter) > len(wide) else slope).view(parameter.shape), alpha=2 * strength)

    def value(self, strength: float) -> float:
        return strength / 2 * sum(float(_skew(_wide(parameter).double()).square().sum()) for parameter in self.parameters)


@dataclass(frozen=True)
class Spectral(Term):
    """(λ/2) Σ σ_max(W)² with the gradient λσuvᵀ, from a right singular vector v that each step brings nearer by one power iteration."""

    spec: penalties.Spectral
    vectors: dict[str, Tensor]
    """v [columns] of each parameter, by the name of its layer."""

    def add_gradient(self, strength: float) -> None:
        for parameter, gradient, v in zip(self.parameters, self.gradients, self.vectors.values(), strict=True):
            matrix = parameter.flatten(1)
            v.copy_(_next(matrix, v))
            # σuvᵀ = (Wv)vᵀ: no division by a norm that may be 0.
            gradient.add_(torch.outer(matrix @ v, v).view(parameter.shape), alpha=strength)

    def value(self, strength: float) -> float:
        """By power iterations on a copy of the vectors: a value that is reported must not move the training."""
        total = 0.0
        for parameter, v in zip(self.parameters, self.vectors.values(), strict=True):
            matrix = parameter.flatten(1)
            for _ in range(_REPORT_STEPS):
                v = _next(matrix, v)
            total += float((matrix @ v).double().square().sum())
        return strength / 2 * total

    def state(self) -> dict[str, Tensor]:
        return self.vectors


def start(parameter: Tensor, generator: torch.Generator) -> Tensor:
    """A random unit vector [columns] to begin a power iteration on `parameter` with, drawn on the CPU."""
    drawn = torch.randn(parameter[0].numel(), generator=generator, dtype=torch.float64)
    return drawn.div_(torch.linalg.vector_norm(drawn)).to(parameter)


def _wide(parameter: Tensor) -> Tensor:
    matrix = parameter.flatten(1)
    return matrix.T if len(matrix) > matrix.shape[1] else matrix


def _skew(wide: Tensor) -> Tensor:
    """WWᵀ - I."""
    gram = wide @ wide.T
    gram.diagonal().sub_(1)
    return gram


def _next(matrix: Tensor, v: Tensor) -> Tensor:
    """v ← WᵀWv/‖WᵀWv‖; v itself where that is 0, from which there would be no way back."""
    found = matrix.T @ (matrix @ v)
    length: Tensor = torch.linalg.vector_norm(found)
    return torch.where(length > 0, found / length, v)

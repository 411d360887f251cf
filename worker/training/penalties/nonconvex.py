"""The non-convex penalties on single weights, which leave large ones as they are; each by its exact proximal map.

A map is θ ← θ·q with a factor q in [0, 1] of |θ| and τ = lr/D. Under Adam τ varies by value, so that the convex and the
non-convex regime of MCP and SCAD occur in one tensor: one formula has both, in which a divisor that would be 0 or negative is
held at the smallest positive number and so turns a slope into a jump.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import pi, sqrt

import torch
from torch import Tensor

from contract.spec import penalties
from worker.training.optimizers.metric import Metric
from worker.training.penalties.term import Term


@dataclass(frozen=True)
class MCP(Term):
    """The minimax concave penalty. τ < γ: min((|z| - τλ)₊/(1 - τ/γ), |z|), the firm threshold. τ ≥ γ: z if |z| > λ√(γτ), else 0."""

    spec: penalties.MCP

    def shrink(self, strength: float, lr: float, metric: Metric) -> None:
        tau, gamma, tiny = metric(self.parameters, lr), self.spec.gamma, _tiny(self.parameters)
        factors = _reciprocals(self.parameters, tau)
        # Both thresholds in one: √(γτ) is below τ exactly where τ > γ.
        if isinstance(tau, float):
            torch._foreach_mul_(factors, -strength * min(tau, sqrt(gamma * tau)))
            torch._foreach_add_(factors, 1.0)
            torch._foreach_mul_(factors, 1 / max(1 - tau / gamma, tiny))
        else:
            thresholds = torch._foreach_mul(tau, gamma)
            torch._foreach_sqrt_(thresholds)
            torch._foreach_minimum_(thresholds, tau)
            torch._foreach_mul_(thresholds, -strength)
            torch._foreach_mul_(factors, thresholds)
            torch._foreach_add_(factors, 1.0)
            torch._foreach_mul_(tau, -1 / gamma)
            torch._foreach_add_(tau, 1.0)
            torch._foreach_clamp_min_(tau, tiny)
            torch._foreach_div_(factors, tau)
        _scale_(self.parameters, factors)

    def value(self, strength: float) -> float:
        gamma = self.spec.gamma

        def each(size: Tensor) -> Tensor:
            inner = size.clamp_max(gamma * strength)
            return strength * inner - inner.square() / (2 * gamma)

        return _sum(self.parameters, each)


@dataclass(frozen=True)
class SCAD(Term):
    """Smoothly clipped absolute deviation. τ < a-1: soft up to |z| = (1+τ)λ, then ((a-1)|z| - aτλ)/(a-1-τ), z from aλ on. τ ≥ a-1:
    soft up to the jump at λ(a+1+τ)/2 (λ√(τ(a+1)) where τ > a+1, from 0 then), z beyond."""

    spec: penalties.SCAD

    def shrink(self, strength: float, lr: float, metric: Metric) -> None:
        tau, a, tiny = metric(self.parameters, lr), self.spec.a, _tiny(self.parameters)
        factors = _reciprocals(self.parameters, tau)
        # The larger of the soft threshold's factor and the second line's, which is above 1 from where z is left alone.
        if isinstance(tau, float):
            second = list(torch._foreach_mul(factors, -strength * _knee(tau, a)))
            torch._foreach_add_(second, a - 1)
            torch._foreach_mul_(second, 1 / max(a - 1 - tau, tiny))
            torch._foreach_mul_(factors, -strength * tau)
        else:
            second = [_knees(each, a) for each in tau]
            torch._foreach_mul_(second, -strength)
            torch._foreach_mul_(second, factors)
            torch._foreach_add_(second, a - 1)
            torch._foreach_mul_(factors, tau)
            torch._foreach_mul_(factors, -strength)
            torch._foreach_neg_(tau)
            torch._foreach_add_(tau, a - 1)
            torch._foreach_clamp_min_(tau, tiny)
            torch._foreach_div_(second, tau)
        torch._foreach_add_(factors, 1.0)
        torch._foreach_maximum_(factors, second)
        _scale_(self.parameters, factors)

    def value(self, strength: float) -> float:
        a = self.spec.a

        def each(size: Tensor) -> Tensor:
            middle = (2 * a * strength * size - size.square() - strength**2) / (2 * (a - 1))
            outer = torch.where(size <= a * strength, middle, strength**2 * (a + 1) / 2)
            return torch.where(size <= strength, strength * size, outer)

        return _sum(self.parameters, each)


@dataclass(frozen=True)
class LHalf(Term):
    """λ Σ √|θ|. With μ = τλ: 0 up to |z| = 1.5 μ^⅔, then ⅔z(1 + cos(2π/3 - ⅔ arccos((μ/4)(|z|/3)^-1.5)))."""

    spec: penalties.LHalf

    def shrink(self, strength: float, lr: float, metric: Metric) -> None:
        ratios = torch._foreach_abs(self.parameters)
        mu = metric(self.parameters, lr * strength)
        if isinstance(mu, float):
            torch._foreach_mul_(ratios, mu ** (-2 / 3) / 1.5)
        else:
            torch._foreach_pow_(mu, 2 / 3)
            torch._foreach_mul_(mu, 1.5)
            torch._foreach_clamp_min_(mu, _tiny(self.parameters))
            torch._foreach_div_(ratios, mu)
        # In units of the threshold the arccosine's argument is √½·ratio^-1.5, at most 1 from ratio 0.8 on.
        factors = torch._foreach_clamp_min(ratios, 0.8)
        torch._foreach_pow_(factors, -1.5)
        torch._foreach_mul_(factors, sqrt(0.5))
        torch._foreach_acos_(factors)
        torch._foreach_mul_(factors, -2 / 3)
        torch._foreach_add_(factors, 2 * pi / 3)
        torch._foreach_cos_(factors)
        torch._foreach_add_(factors, 1.0)
        torch._foreach_mul_(factors, 2 / 3)
        torch._foreach_sub_(ratios, 1.0)
        torch._foreach_sign_(ratios)
        torch._foreach_clamp_min_(ratios, 0.0)
        torch._foreach_mul_(factors, ratios)
        torch._foreach_mul_(self.parameters, factors)

    def value(self, strength: float) -> float:
        return strength * _sum(self.parameters, torch.sqrt)


@dataclass(frozen=True)
class L0(Term):
    """λ · (number of values other than 0): z where z² ≥ 2τλ, else 0."""

    spec: penalties.L0

    def shrink(self, strength: float, lr: float, metric: Metric) -> None:
        threshold = metric(self.parameters, 2 * lr * strength)
        if isinstance(threshold, float):
            dropped = list(torch._foreach_mul(self.parameters, self.parameters))
            torch._foreach_sub_(dropped, threshold)
            torch._foreach_neg_(dropped)
        else:
            dropped = threshold
            torch._foreach_addcmul_(dropped, self.parameters, self.parameters, value=-1)
        torch._foreach_sign_(dropped)
        torch._foreach_clamp_min_(dropped, 0.0)
        torch._foreach_addcmul_(self.parameters, self.parameters, dropped, value=-1)

    def value(self, strength: float) -> float:
        return strength * sum(int(parameter.count_nonzero()) for parameter in self.parameters)


def _reciprocals(parameters: list[Tensor], tau: float | list[Tensor]) -> list[Tensor]:
    """1/|θ|. Finite at 0 as well where τ is by value: it may be so small there that a threshold is 0, and 0·∞ is no number."""
    found = torch._foreach_abs(parameters)
    if not isinstance(tau, float):
        torch._foreach_clamp_min_(found, _tiny(parameters))
    torch._foreach_reciprocal_(found)
    return list(found)


def _scale_(parameters: list[Tensor], factors: list[Tensor]) -> None:
    torch._foreach_clamp_min_(factors, 0.0)
    torch._foreach_clamp_max_(factors, 1.0)
    torch._foreach_mul_(parameters, factors)


def _knee(tau: float, a: float) -> float:
    """SCAD's second line is (a - 1 - knee·λ/|z|)/(a - 1 - τ): aτ while that is a slope, the jump's place times a - 1 otherwise."""
    if tau < a - 1:
        return a * tau
    return (a - 1) * ((a + 1 + tau) / 2 if tau <= a + 1 else sqrt(tau * (a + 1)))


def _knees(tau: Tensor, a: float) -> Tensor:
    """The same for a τ of each value."""
    jump = torch.where(tau <= a + 1, (tau + (a + 1)) / 2, (tau * (a + 1)).sqrt())
    return torch.where(tau < a - 1, a * tau, (a - 1) * jump)


def _sum(parameters: list[Tensor], each: Callable[[Tensor], Tensor]) -> float:
    return sum(float(each(parameter.abs().double()).sum()) for parameter in parameters)


def _tiny(parameters: list[Tensor]) -> float:
    return float(torch.finfo(parameters[0].dtype).tiny)

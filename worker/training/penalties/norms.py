"""The constraint on the length of each filter's or neuron's weights."""

from dataclasses import dataclass

import torch
from typing_extensions import override

from contract.spec import penalties
from worker.training.optimizers.metric import Metric
from worker.training.penalties.term import Term


@dataclass(frozen=True)
class MaxNorm(Term):
    """w ← w·min(1, c/‖w‖) for each row w, after each step: the nearest point of the constraint in the Euclidean sense, whatever D."""

    spec: penalties.MaxNorm

    @override
    def strength(self, step: int) -> float:
        """1: a constraint is there or is not."""
        return 1.0

    @override
    def shrink(self, strength: float, lr: float, metric: Metric) -> None:
        for parameter in self.parameters:
            rows = tuple(range(1, parameter.ndim))
            lengths = torch.linalg.vector_norm(parameter, dim=rows, keepdim=True)
            parameter.mul_(lengths.reciprocal_().mul_(self.spec.max_norm).clamp_(max=1))

    @override
    def value(self, strength: float) -> float:
        return 0.0

"""The penalties with a gradient everywhere: coupled, they join the data loss before the optimizer's moments."""

from dataclasses import dataclass

import torch
from torch import Tensor

from contract.spec import penalties
from worker.training.penalties.term import Term


def half_square(parameters: list[Tensor]) -> float:
    """½ ‖θ‖² over all `parameters`, summed in float64."""
    return float(torch.stack(torch._foreach_norm(parameters, 2)).double().square().sum()) / 2


@dataclass(frozen=True)
class L2(Term):
    """(λ/2) ‖θ‖², with the gradient λθ."""

    spec: penalties.L2

    def add_gradient(self, strength: float) -> None:
        torch._foreach_add_(self.gradients, self.parameters, alpha=strength)

    def value(self, strength: float) -> float:
        return strength * half_square(self.parameters)

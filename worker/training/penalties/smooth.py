"""The penalties with a gradient everywhere: coupled, they join the data loss before the optimizer's moments."""

from dataclasses import dataclass

import torch

from contract.spec import penalties
from worker.training.penalties.term import Term


@dataclass(frozen=True)
class L2(Term):
    """(λ/2) ‖θ‖², with the gradient λθ."""

    spec: penalties.L2

    def add_gradient(self, strength: float) -> None:
        torch._foreach_add_(self.gradients, self.parameters, alpha=strength)

    def value(self, strength: float) -> float:
        return strength / 2 * float(torch.stack(torch._foreach_norm(self.parameters, 2)).double().square().sum())

"""The decay that passes the optimizer's moments by."""

from dataclasses import dataclass

import torch

from contract.spec import penalties
from worker.training.penalties.smooth import half_square
from worker.training.penalties.term import Term


@dataclass(frozen=True)
class DecoupledDecay(Term):
    """θ ← (1 - lr·λ)θ before the gradient step, as torch's AdamW. Its value (λ/2) ‖θ‖² is a diagnostic."""

    spec: penalties.DecoupledDecay

    def decay(self, strength: float, lr: float) -> None:
        torch._foreach_mul_(self.parameters, 1 - lr * strength)

    def value(self, strength: float) -> float:
        return strength * half_square(self.parameters)

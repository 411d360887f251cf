"""The sparsity of a weight whatever its scale."""

from dataclasses import dataclass

import torch
from torch import Tensor

from contract.spec import penalties
from worker.training.penalties.term import Term


@dataclass(frozen=True)
class Hoyer(Term):
    """λ Σ ‖W‖₁²/‖W‖₂² over the parameters W, with the gradient 2λr(sign(W) - rW) for r = ‖W‖₁/‖W‖₂²; 0 at W = 0."""

    spec: penalties.Hoyer

    def add_gradient(self, strength: float) -> None:
        ratios = self._ratios()
        slopes = torch._foreach_sign(self.parameters)
        torch._foreach_addcmul_(slopes, self.parameters, ratios, value=-1)
        torch._foreach_addcmul_(self.gradients, slopes, ratios, value=2 * strength)

    def value(self, strength: float) -> float:
        ratios = torch.stack(self._ratios()).double()
        return strength * float((ratios * torch.stack(torch._foreach_norm(self.parameters, 1)).double()).sum())

    def _ratios(self) -> list[Tensor]:
        """‖W‖₁/‖W‖₂² of each parameter; 0 for one that is all zero, on which a sparsity ratio has nothing to do."""
        lengths = torch._foreach_norm(self.parameters, 2)
        # Divided twice rather than by a square, which would underflow in float32 for a weight of length 1e-23.
        torch._foreach_clamp_min_(lengths, torch.finfo(lengths[0].dtype).tiny)
        ratios = torch._foreach_div(torch._foreach_norm(self.parameters, 1), lengths)
        torch._foreach_div_(ratios, lengths)
        return list(ratios)

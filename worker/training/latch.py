"""What a device remembers of the first step that was not finite, until somebody asks."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Latch:
    """Shut by the first step whose loss or gradient norms are not finite; nothing that follows moves it."""

    step: Tensor
    """Its number, from 1; 0 while all is well."""
    loss: Tensor
    """Its mean data loss."""
    norms: Tensor
    """Its gradients' norms, [parameters with a gradient]."""
    reads_each_step: bool
    """Whether every step waits for the answer, so that no update follows a bad gradient: free on a CPU, a stall on a GPU."""

    @classmethod
    def open(cls, device: torch.device) -> "Latch":
        """One that nothing has tripped yet. On the CPU, where looking costs no wait, it is looked at each step."""
        zero = torch.zeros((), device=device)
        return cls(torch.zeros((), dtype=torch.int64, device=device), zero, zero, reads_each_step=device.type == "cpu")

    def hold(self, step: int, loss: Tensor, norms: Tensor) -> None:
        """Takes in the numbers of `step`, without waiting for the device."""
        is_first = (self.step == 0) & ~torch.isfinite(norms.sum() + loss)
        self.step = torch.where(is_first, step, self.step)
        self.loss = torch.where(is_first, loss, self.loss)
        self.norms = torch.where(is_first, norms, self.norms)

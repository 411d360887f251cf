"""What every penalty can be asked: its strength at a step, its part before, in and after that step, its value, its state."""

from dataclasses import dataclass

from torch import Tensor

from contract.spec import penalties
from worker.training.optimizers.metric import Metric


@dataclass(frozen=True)
class Term:
    """A penalty and the parameters it is laid on. A kind overrides what it has: a gradient, or a proximal step; and its value."""

    spec: penalties.Penalty
    parameters: list[Tensor]
    warmup_steps: float

    def strength(self, step: int) -> float:
        """λ at `step` (from 0): 0 at the first one and the full λ after the warm-up, if there is one."""
        if step >= self.warmup_steps:
            return self.spec.strength
        return self.spec.strength * step / self.warmup_steps

    def add_gradient(self, strength: float) -> None:
        """Adds the gradient of `strength` times the penalty to each `.grad`, in place."""

    def decay(self, strength: float, lr: float) -> None:
        """Moves the parameters, in place, before the optimizer's step and past its moments."""

    def shrink(self, strength: float, lr: float, metric: Metric) -> None:
        """Moves the parameters, in place, to argmin ½‖x - θ‖²_D / lr + strength · penalty(x), with D the metric of the step just made."""

    def value(self, strength: float) -> float:
        """`strength` times the penalty at the present parameters."""
        raise NotImplementedError

    def state(self) -> dict[str, Tensor]:
        """What it carries from step to step, by name: a checkpoint saves these tensors and writes them back in place."""
        return {}

    @property
    def gradients(self) -> list[Tensor]:
        """The `.grad` of each parameter."""
        return [parameter.grad for parameter in self.parameters if parameter.grad is not None]

"""What changes when a sparse run begins to be polished: its zeros are frozen, and what made them is switched off."""

from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from contract.spec import finish
from worker.training import averaging
from worker.training.optimizers.metric import Metric
from worker.training.penalties.term import Term
from worker.training.run import Run


@dataclass(frozen=True)
class Support(Term):
    """Stands in the place of a penalty that made zeros: keeps those zeros, and is worth nothing."""

    kept: list[Tensor]
    """Of each parameter, 1 where it is trained on and 0 where it stays 0, in its own shape and dtype."""

    @override
    def strength(self, step: int) -> float:
        return 1.0

    @override
    def add_gradient(self, strength: float) -> None:
        """Takes the gradient of frozen values out, so that no moment of the optimizer and no norm counts them."""
        torch._foreach_mul_(self.gradients, self.kept)

    @override
    def shrink(self, strength: float, lr: float, metric: Metric) -> None:
        """Puts frozen values back to 0: momentum gathered before would still move them, and so would another penalty's gradient."""
        torch._foreach_mul_(self.parameters, self.kept)

    @override
    def value(self, strength: float) -> float:
        return 0.0


def is_due(run: Run) -> bool:
    """Whether the main phase has come to its end and polish follows."""
    return run.spec.polish is not None and run.standing.polished_from is None and run.standing.has_settled(run.spec)


@torch.no_grad()
def begin(run: Run) -> None:
    """Freezes the support that the run's own weights have now. The average, if there is one, begins anew: it was of other weights."""
    run.standing.polished_from = run.standing.epoch
    run.terms = [_support(term) if finish.sparsifies(term.spec) else term for term in run.terms]
    averaging.begin(run)


def mask_gradients(run: Run) -> None:
    """Takes frozen values out of the gradients, for one who goes along them before the step: nothing is to be learned off the support."""
    for term in run.terms:
        if isinstance(term, Support):
            term.add_gradient(1.0)


def state(run: Run) -> dict[str, Tensor]:
    """What a checkpoint keeps of the supports: a weight that becomes 0 by chance while it is polished is not frozen for that."""
    supports = [(index, term) for index, term in enumerate(run.terms) if isinstance(term, Support)]
    return {
        f"polish.{index}.{position}": kept.to(torch.bool)
        for index, term in supports
        for position, kept in enumerate(term.kept)
    }  # fmt: skip


def restore(run: Run, saved: dict[str, Tensor]) -> None:
    """Puts the supports back into a freshly built run. Raises KeyError where one is missing."""
    if run.standing.polished_from is None:
        return
    run.terms = [
        Support(term.spec, term.parameters, 0.0, [_like(saved[f"polish.{index}.{k}"], value) for k, value in enumerate(term.parameters)])
        if finish.sparsifies(term.spec)
        else term
        for index, term in enumerate(run.terms)
    ]


def _support(term: Term) -> Support:
    kept = [_like(parameter != 0, parameter) for parameter in term.parameters]
    return Support(term.spec, term.parameters, 0.0, kept)


def _like(mask: Tensor, parameter: Tensor) -> Tensor:
    """In the parameter's layout too: a product of two layouts would take the slow path at each step."""
    return torch.empty_like(parameter, requires_grad=False).copy_(mask)

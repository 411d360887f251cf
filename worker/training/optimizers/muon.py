"""How torch's Muon and its AdamW step one network together: the hidden matrices by the one, all else by the other."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, optim

from contract.spec import optimizers


class Muon(optim.Optimizer):
    """torch.optim.Muon on views [O, I·k·k] of the hidden weights, torch.optim.AdamW without decay on biases, norms and output layer.

    `parameters` are in the order of the forward pass, so that the last one with two dimensions or more is the output layer's. The state
    of a hidden weight is kept under the weight itself, with the momentum in the shape of its view.
    """

    def __init__(self, spec: optimizers.Muon, parameters: Sequence[Tensor]) -> None:
        super().__init__(parameters, {"lr": spec.lr})
        *self._hidden, _ = [parameter for parameter in parameters if parameter.dim() > 1]
        taken = {id(parameter) for parameter in self._hidden}
        others = [parameter for parameter in parameters if id(parameter) not in taken]
        self._views = [_matrix(parameter.detach()) for parameter in self._hidden]
        self._muon = optim.Muon(
            self._views,
            spec.lr,
            weight_decay=0.0,
            momentum=spec.momentum,
            nesterov=spec.nesterov,
            ns_steps=spec.ns_steps,
            eps=spec.eps,
            adjust_lr_fn="match_rms_adamw",
        )
        self._adamw = optim.AdamW(others, spec.lr, spec.betas, weight_decay=0.0, fused=True)
        self.param_groups = [*self._muon.param_groups, *self._adamw.param_groups]
        # One dictionary under both names: a state written here, as by a restored checkpoint, is the one that steps.
        for parameter, view in zip(self._hidden, self._views, strict=True):
            self._muon.state[view] = self.state[parameter]
        for parameter in others:
            self._adamw.state[parameter] = self.state[parameter]

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Moves all parameters by the gradients they have. There is no search, hence no `closure`."""
        assert closure is None
        for parameter, view in zip(self._hidden, self._views, strict=True):
            view.grad = None if parameter.grad is None else _matrix_like(parameter, parameter.grad)
        self._muon.step()  # type: ignore[no-untyped-call]
        self._adamw.step()


def _matrix(weight: Tensor) -> Tensor:
    """`weight` [O, …] as a matrix in the same memory: in channels_last, where channels lie innermost, as [O, k·k·I].

    The order of its columns does not matter: an orthogonalisation commutes with every permutation of them.
    """
    return weight.permute(0, 2, 3, 1).view(len(weight), -1) if _is_channels_last(weight) else weight.view(len(weight), -1)


def _matrix_like(weight: Tensor, values: Tensor) -> Tensor:
    """`values`, shaped as `weight`, with its columns in the order of that weight's matrix."""
    return (values.permute(0, 2, 3, 1) if _is_channels_last(weight) else values).reshape(len(values), -1)


def _is_channels_last(weight: Tensor) -> bool:
    return weight.dim() == 4 and weight.is_contiguous(memory_format=torch.channels_last)

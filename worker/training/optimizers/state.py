"""What of an optimizer a checkpoint must hold: its tensors, and beside them the numbers and lists that no tensor file can.

Names are `<parameter>:<key>`, and `<parameter>:<key>:<index>` inside a list such as L-BFGS's history. torch's own state_dict is not
used: loading one casts every tensor to its parameter's type, which rounds what was kept in another.
"""

from collections.abc import Iterator, Mapping

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, optim

Plain = bool | int | float | str

# The counters that torch keeps on the CPU unless it runs fused.
_COUNTERS = {"step", "mu_product"}


class Remembered(BaseModel):
    """What is not a tensor. Numbers survive exactly: JSON holds the shortest text that reads back as the same float."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    values: dict[str, Plain] = {}
    """Numbers in the state of a parameter."""
    lists: dict[str, int] = {}
    """The lengths of the lists there."""
    groups: list[dict[str, Plain]] = []
    """The numbers of each parameter group: settings, and with some libraries counters among them."""


def tensors(optimizer: optim.Optimizer, named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every tensor of the state, by name."""
    return {name: value for name, value in _walk(optimizer, named) if isinstance(value, Tensor)}


def remembered(optimizer: optim.Optimizer, named: Mapping[str, Tensor]) -> Remembered:
    """Everything else of the state, and of the groups."""
    found = Remembered(groups=[{k: v for k, v in group.items() if isinstance(v, Plain)} for group in optimizer.param_groups])
    for name, value in _walk(optimizer, named):
        if isinstance(value, list):
            found.lists[name] = len(value)
        elif isinstance(value, Plain):
            found.values[name] = value
    return found


def restore(optimizer: optim.Optimizer, named: Mapping[str, Tensor], tensors: Mapping[str, Tensor], rest: Remembered) -> None:
    """Puts a freshly built optimizer where the saved one was, to the bit. Raises KeyError where a parameter is not there."""
    for group, saved in zip(optimizer.param_groups, rest.groups, strict=bool(rest.groups)):
        group.update(saved)
    fused = any(group.get("fused") for group in optimizer.param_groups)
    for name, length in rest.lists.items():
        _put(optimizer, named, name, [None] * length)
    for name, value in rest.values.items():
        _put(optimizer, named, name, value)
    for name, tensor in tensors.items():
        parameter, key, *_ = name.split(":")
        on_cpu = key in _COUNTERS and not fused
        _put(optimizer, named, name, tensor if on_cpu else _laid_as(named[parameter], tensor))


def _walk(optimizer: optim.Optimizer, named: Mapping[str, Tensor]) -> Iterator[tuple[str, object]]:
    """Each entry of each parameter's state, and behind a list the entries of it."""
    for name, parameter in named.items():
        # Asking the state of a parameter for the first time would create one.
        for key, value in optimizer.state.get(parameter, {}).items():
            yield f"{name}:{key}", value
            if isinstance(value, list):
                yield from ((f"{name}:{key}:{index}", entry) for index, entry in enumerate(value))


def _put(optimizer: optim.Optimizer, named: Mapping[str, Tensor], name: str, value: object) -> None:
    parameter, key, *index = name.split(":")
    state = optimizer.state[named[parameter]]
    if index:
        state[key][int(index[0])] = value
    else:
        state[key] = value


def _laid_as(parameter: Tensor, value: Tensor) -> Tensor:
    """`value` on the parameter's device, and where it has its shape also in its memory layout: fused kernels walk both with one index."""
    like = parameter if value.shape == parameter.shape else value
    return torch.empty_like(like, dtype=value.dtype, device=parameter.device, requires_grad=False).copy_(value)

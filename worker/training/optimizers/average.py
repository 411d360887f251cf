"""At which weights a network is measured and saved, where these are not the ones it is trained at."""

from collections.abc import Sequence

import torch
from torch import Tensor, optim

from contract.spec import optimizers


@torch.no_grad()
def averaged(spec: optimizers.Optimizer, built: optim.Optimizer, parameters: Sequence[Tensor]) -> list[Tensor] | None:
    """Fresh tensors of the averaged weights, shaped as `parameters`; None where the optimizer keeps no average.

    For `schedule_free` x = y + (1 - 1/β₁)(z - y) (Defazio et al., 2024, with y = (1-β₁)z + β₁x solved for x). The library would swap
    x into the parameters and y back, and two such moves do not cancel to the bit; here y is only read.
    """
    if not isinstance(spec, optimizers.ScheduleFree):
        return None
    # Before the first step there is no z yet, and x = y = z.
    moved = [built.state[parameter].get("z", parameter) for parameter in parameters]
    return list(torch._foreach_lerp(list(parameters), moved, weight=1 - 1 / spec.betas[0]))

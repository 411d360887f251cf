"""Where SAM takes its gradient: at θ + rho·g/‖g‖, from which θ comes back to the bit.

Its two passes are ours because what keeps them exact lies outside of any optimizer that could be had: penalties join at θ and not at
the displaced weights, running statistics move in the first pass only, both passes draw the same dropout, a full-batch gradient can be
left between its parts, and θ is kept as a copy where libraries subtract what they added, which rounds.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

# Foret et al.'s own: a gradient of zero moves nothing, instead of becoming 0/0.
_EPSILON = 1e-12


@contextmanager
def ascended(parameters: Sequence[Tensor], rho: float) -> Iterator[list[Tensor]]:
    """While inside, each parameter stands at θ + rho·g/‖g‖ with g its `.grad` and ‖g‖ over all of them; gives the kept θ.

    Foret, Kleiner, Mobahi and Neyshabur, "Sharpness-Aware Minimization for Efficiently Improving Generalization", ICLR 2021.
    """
    values = [parameter.detach() for parameter in parameters]
    kept = [value.clone() for value in values]
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    length = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    torch._foreach_add_(values, torch._foreach_mul(gradients, rho / (length + _EPSILON)))
    try:
        yield kept
    finally:
        torch._foreach_copy_(values, kept)

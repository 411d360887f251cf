"""On which layers of a network a penalty lies."""

from collections.abc import Sequence

from contract.spec.penalties import Penalty
from contract.spec.plan import Layer


def layers(penalty: Penalty, network: Sequence[Layer]) -> list[Layer]:
    """The layers whose weights `penalty` lies on, in the order it names them. Those without its groups or rows are left out."""
    named = {layer.name: layer for layer in network}
    if isinstance(penalty.on, tuple):
        chosen = [named[name] for name in dict.fromkeys(penalty.on) if name in named]
    else:
        chosen = [layer for layer in network if not layer.norm]
    return [layer for layer in chosen if fits(penalty, layer)]


def fits(penalty: Penalty, layer: Layer) -> bool:
    """Whether the layer's weight has the groups or rows that the penalty is made of."""
    return penalty.dimensions is None or len(layer.weight) in penalty.dimensions

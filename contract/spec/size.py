"""How much memory a job will take, roughly: what its network, its optimizer and one step hold."""

from dataclasses import dataclass
from typing import Final, assert_never

from contract.spec import JobSpec, optimizers, plan

FULL_BATCH_ROWS: Final = 256
"""Rows of the parts in which the gradient over the whole training set is taken."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes, by what they are for."""

    weights: int
    gradients: int
    optimizer: int
    """What it remembers from step to step, and an average of the weights where one is kept."""
    activations: int
    """What a step holds of its rows on the way back through the network; twice over, as each layer's input and output are kept."""

    @property
    def total(self) -> int:
        """Bytes of all four together."""
        return self.weights + self.gradients + self.optimizer + self.activations


def memory(spec: JobSpec, network: tuple[plan.Layer, ...]) -> Memory:
    """Of training `spec`, without the data and without what torch itself takes."""
    width = 8 if spec.precision == "float64" else 4
    weights = plan.parameters(network) * width
    rows = FULL_BATCH_ROWS if spec.batch_size == "full" else spec.batch_size
    outputs = spec.dataset.shape().features + sum(_outputs(layer) for layer in network)
    copies = _copies(spec.optimizer) + (1 if spec.averaging else 0)
    return Memory(weights, weights, weights * copies, 2 * rows * outputs * width)


def _outputs(layer: plan.Layer) -> int:
    """Values that leave the layer, for one row."""
    return layer.weight[0] * max(1, layer.pixels)


def _copies(optimizer: optimizers.Optimizer) -> int:
    """How many values it remembers of each weight."""
    match optimizer:
        case optimizers.GD():
            return 0
        case optimizers.SGD(momentum=momentum):
            return 1 if momentum else 0
        case optimizers.RMSprop(momentum=momentum, centered=centered):
            return 1 + (1 if momentum else 0) + (1 if centered else 0)
        case optimizers.Adam(amsgrad=amsgrad) | optimizers.AdamW(amsgrad=amsgrad):
            return 3 if amsgrad else 2
        case optimizers.MomentumEMA() | optimizers.Adagrad() | optimizers.Lion():
            return 1
        case (
            optimizers.NAdam()
            | optimizers.RAdam()
            | optimizers.Adadelta()
            | optimizers.Adamax()
            | optimizers.Muon()
            | optimizers.ScheduleFree()
        ):
            return 2
        case optimizers.LBFGS(history_size=history):
            return 2 * history + 3
        case optimizers.SAM(base=base):
            return 1 + _copies(base)
        case _:
            assert_never(optimizer)

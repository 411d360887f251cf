"""What network a spec describes, layer by layer, worked out with integers alone so that the API can refuse a misfit without torch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, prod
from typing import Literal, assert_never

from contract.spec import models
from contract.spec.datasets import Shape


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer with parameters: its name in the state dict, and the shapes of its weight and bias as torch keeps them."""

    name: str
    weight: tuple[int, ...]
    bias: tuple[int, ...] | None
    norm: bool = False
    """Whether it is a normalisation layer, whose parameters are scales and shifts rather than weights."""
    pixels: int = 0
    """Height times width of the images that leave it: the values a channel has in each of them. 0 for a linear layer."""

    @property
    def is_convolution(self) -> bool:
        """Whether its weight holds filters, [out, in, height, width]."""
        return len(self.weight) == 4

    @property
    def parameters(self) -> int:
        """How many numbers are trained in it: weight and bias."""
        return prod(self.weight) + (prod(self.bias) if self.bias else 0)


class MisfitError(ValueError):
    """A network that cannot be built on this data. `field` is the path below the model, the message the remedy."""

    def __init__(self, field: tuple[str | int, ...], message: str) -> None:
        super().__init__(message)
        self.field = field


def layers(model: models.Model, data: Shape) -> tuple[Layer, ...]:
    """The layers of `model` on samples of shape `data`, in the order of the forward pass.

    Raises MisfitError where a kernel or a pool does not fit what reaches it.
    """
    match model:
        case models.TutorialCNN():
            return _tutorial(data)
        case models.CNN():
            return _cnn(model, data)
        case models.Linear():
            return tuple(_dense((data.features, data.outputs), bias=model.bias))
        case models.MLP():
            return tuple(_dense((data.features, *model.hidden, data.outputs)))
        case models.ResNet18():
            return tuple(_resnet18(data))
        case _:
            assert_never(model)


def parameters(network: tuple[Layer, ...]) -> int:
    """Number of trainable values in a network."""
    return sum(layer.parameters for layer in network)


def norms_behind(network: Sequence[Layer]) -> dict[str, str]:
    """The norm that rescales each convolution's output, by the convolution's name; those without one are left out."""
    return {layer.name: behind.name for layer, behind in pairwise(network) if layer.is_convolution and behind.norm}


def lone_norm(network: tuple[Layer, ...], rows: int, batch_size: int | Literal["full"]) -> str | None:
    """The first norm that some batch of `rows` rows leaves with a single value in each channel, which has no variance; None is best."""
    smallest = rows if batch_size == "full" else min(rows, rows % batch_size or batch_size)
    return next((layer.name for layer in network if layer.norm and smallest * layer.pixels == 1), None)


def _tutorial(data: Shape) -> tuple[Layer, ...]:
    if min(data.height, data.width) < 4:
        size = f"{data.height} x {data.width}"
        raise MisfitError(
            ("kind",), f"tutorial_cnn halves the image twice and {size} is too small for that; use linear or mlp, or images of 4 x 4 and up"
        )
    features = 64 * (data.height // 4) * (data.width // 4)
    return (
        Layer("conv1", (32, data.channels, 3, 3), (32,), pixels=data.height * data.width),
        Layer("conv2", (64, 32, 3, 3), (64,), pixels=(data.height // 2) * (data.width // 2)),
        *_dense((features, 128, data.outputs)),
    )


def _cnn(model: models.CNN, data: Shape) -> tuple[Layer, ...]:
    kernel = model.kernel_size
    if model.padding == "same" and kernel % 2 == 0:
        raise MisfitError(("padding",), f"'same' needs an odd kernel_size, got {kernel}; use {kernel + 1} or a number")
    padding = (kernel - 1) // 2 if model.padding == "same" else model.padding
    found: list[Layer] = []
    channels, height, width = data.channels, data.height, data.width
    for index, out in enumerate(model.channels, start=1):
        if min(height, width) + 2 * padding < kernel:
            message = f"block {index} receives {height} x {width}, smaller than kernel_size {kernel} with padding {padding}; use fewer blocks, a smaller kernel or pool, or padding 'same'"
            raise MisfitError(("channels", index - 1), message)
        height, width = (side + 2 * padding - kernel + 1 for side in (height, width))
        pixels = height * width
        if min(height, width) < model.pool:
            message = f"block {index} pools {height} x {width} by {model.pool} and nothing is left; use fewer blocks or a smaller pool"
            raise MisfitError(("channels", index - 1), message)
        height, width = height // model.pool, width // model.pool
        found.append(Layer(f"conv{index}", (out, channels, kernel, kernel), (out,), pixels=pixels))
        if model.norm == "batch":
            found.append(Layer(f"norm{index}", (out,), (out,), norm=True, pixels=pixels))
        channels = out
    return (*found, *_dense((channels * height * width, *model.hidden, data.outputs)))


def _dense(widths: tuple[int, ...], *, bias: bool = True) -> Iterator[Layer]:
    for index, (inputs, outputs) in enumerate(pairwise(widths), start=1):
        yield Layer(f"fc{index}", (outputs, inputs), (outputs,) if bias else None)


def _resnet18(data: Shape) -> Iterator[Layer]:
    if min(data.height, data.width) < 8:
        size = f"{data.height} x {data.width}"
        raise MisfitError(
            ("kind",), f"resnet18 halves the image three times and {size} is too small for that; use cnn, or images of 8 x 8 and up"
        )
    yield from _normed("conv1", "bn1", (64, data.channels, 3, 3), data.height * data.width)
    inputs = 64
    for stage, width in enumerate((64, 128, 256, 512), start=1):
        halvings = 2 ** (stage - 1)
        pixels = ceil(data.height / halvings) * ceil(data.width / halvings)
        for block in range(2):
            name = f"layer{stage}.{block}"
            yield from _normed(f"{name}.conv1", f"{name}.bn1", (width, inputs, 3, 3), pixels)
            yield from _normed(f"{name}.conv2", f"{name}.bn2", (width, width, 3, 3), pixels)
            if inputs != width:
                yield from _normed(f"{name}.downsample.0", f"{name}.downsample.1", (width, inputs, 1, 1), pixels)
            inputs = width
    yield Layer("fc", (data.outputs, inputs), (data.outputs,))


def _normed(convolution: str, norm: str, weight: tuple[int, ...], pixels: int) -> Iterator[Layer]:
    """A convolution without a bias, which the norm behind it would take out again, and that norm."""
    yield Layer(convolution, weight, None, pixels=pixels)
    yield Layer(norm, weight[:1], weight[:1], norm=True, pixels=pixels)

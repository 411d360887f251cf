"""What network a model spec becomes. Names and shapes come from the plan that the API checked the spec with."""

from collections.abc import Callable
from typing import assert_never

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contract.spec import models, plan
from contract.spec.datasets import Shape
from worker.training import keys


def build(model: models.Model, data: Shape, seed: int) -> nn.Module:
    """The network on the CPU in float32, with torch's initial weights drawn by `seed` alone.

    Takes images [n, channels, height, width] (convolutional) or anything that flattens to [n, features]; gives logits [n, outputs].
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(keys.derive(seed, "weights"))
        match model:
            case models.TutorialCNN():
                return Convolutional(_TUTORIAL, plan.layers(model, data))
            case models.CNN():
                return Convolutional(model, plan.layers(model, data))
            case models.Linear():
                return Dense(plan.layers(model, data), activation="relu", dropout=0.0)
            case models.MLP():
                return Dense(plan.layers(model, data), activation=model.activation, dropout=model.dropout)
            case models.ResNet18():
                return _resnet18(data)
            case _:
                assert_never(model)


def is_convolutional(model: models.Model) -> bool:
    """Whether the network convolves, and so wants its images in channels_last memory."""
    return isinstance(model, models.TutorialCNN | models.CNN | models.ResNet18)


def dropout(model: models.Model) -> float:
    """The probability with which the network zeroes a value in training."""
    return model.dropout if isinstance(model, models.CNN | models.MLP) else 0.0


_TUTORIAL = models.CNN(channels=(32, 64), kernel_size=3, padding=1, pool=2, norm="none", activation="relu", dropout=0.0, hidden=(128,))


class Dense(nn.Module):
    """Linear layers with an activation and dropout between them."""

    def __init__(self, layers: tuple[plan.Layer, ...], *, activation: models.Activation, dropout: float) -> None:
        super().__init__()
        self.activation = _ACTIVATIONS[activation]
        self.dropout = dropout
        self.layers = [_dense(layer) for layer in layers]
        for layer, module in zip(layers, self.layers, strict=True):
            self.add_module(layer.name, module)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [rows, outputs] of images [rows, ...], which are flattened."""
        values = images.flatten(1)
        for layer in self.layers[:-1]:
            values = F.dropout(self.activation(layer(values)), self.dropout, self.training)
        logits: Tensor = self.layers[-1](values)
        return logits


class Convolutional(nn.Module):
    """Blocks of convolution, norm, activation, max-pool and dropout, then linear layers."""

    def __init__(self, model: models.CNN, layers: tuple[plan.Layer, ...]) -> None:
        super().__init__()
        self.pool = model.pool
        self.activation = _ACTIVATIONS[model.activation]
        self.dropout = model.dropout
        # ReLU never decreases, so the maximum may be taken first: the same function and gradient on a quarter of the values.
        self.pools_first = model.activation == "relu" and model.pool > 1
        padding = (model.kernel_size - 1) // 2 if model.padding == "same" else model.padding
        blocks = [layer for layer in layers if len(layer.weight) == 4]
        self.convolutions = [_convolution(layer, padding) for layer in blocks]
        self.norms = [nn.BatchNorm2d(layer.weight[0]) for layer in layers if layer.norm]
        dense = [layer for layer in layers if len(layer.weight) == 2]
        # In the order of the forward pass, so that parameters and plan can be read side by side.
        modules = iter([*self._in_order(), *(_dense(layer) for layer in dense)])
        for layer in layers:
            self.add_module(layer.name, next(modules))
        self.dense = [self.get_submodule(layer.name) for layer in dense]

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Logits [rows, outputs] of images [rows, channels, height, width]."""
        values = images_NCHW
        for index, convolution in enumerate(self.convolutions):
            values = convolution(values)
            if self.norms:
                values = self.norms[index](values)
            values = F.dropout(self._activate_and_pool(values), self.dropout, self.training)
        values = values.flatten(1)
        for layer in self.dense[:-1]:
            values = F.dropout(self.activation(layer(values)), self.dropout, self.training)
        logits: Tensor = self.dense[-1](values)
        return logits

    def _activate_and_pool(self, values: Tensor) -> Tensor:
        if self.pools_first:
            return self.activation(F.max_pool2d(values, self.pool))
        values = self.activation(values)
        return values if self.pool == 1 else F.max_pool2d(values, self.pool)

    def _in_order(self) -> list[nn.Module]:
        if not self.norms:
            return list(self.convolutions)
        return [module for pair in zip(self.convolutions, self.norms, strict=True) for module in pair]


def _relu(values: Tensor) -> Tensor:
    # In place: what stands before it (a linear map, a norm, a pool) does not need its own output for the gradient.
    return F.relu(values, inplace=True)


_ACTIVATIONS: dict[models.Activation, Callable[[Tensor], Tensor]] = {"relu": _relu, "gelu": F.gelu, "tanh": torch.tanh}


def _dense(layer: plan.Layer) -> nn.Linear:
    outputs, inputs = layer.weight
    return nn.Linear(inputs, outputs, bias=layer.bias is not None)


def _convolution(layer: plan.Layer, padding: int) -> nn.Conv2d:
    outputs, inputs, kernel, _ = layer.weight
    return nn.Conv2d(inputs, outputs, kernel, padding=padding)


def _resnet18(data: Shape) -> nn.Module:
    """torchvision's own module but for its stem: stride 7 x 7 and a max-pool would leave an eighth of a small image."""
    # Here and not above: the other kinds do without torchvision, and importing it takes a second.
    import torchvision

    model: nn.Module = torchvision.models.resnet18(num_classes=data.outputs)
    stem = nn.Conv2d(data.channels, 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")  # as torchvision draws its convolutions
    model.conv1, model.maxpool = stem, nn.Identity()
    return model

"""The networks are the ones that the plan promised the user, and their first weights come from the seed alone."""

from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import TypeAdapter

from contract.spec import models, plan
from contract.spec.datasets import Shape
from worker.training import models as networks

MODEL: TypeAdapter[models.Model] = TypeAdapter(models.Model)
GREY = Shape(1, 28, 28, 10, "classes")
COLOUR = Shape(3, 17, 13, 4, "classes")

SPECS: list[dict[str, Any]] = [
    {"kind": "tutorial_cnn"},
    {"kind": "linear"},
    {"kind": "linear", "bias": False},
    {"kind": "mlp"},
    {"kind": "mlp", "hidden": [5, 7], "dropout": 0.5, "activation": "gelu"},
    {"kind": "cnn", "channels": [3], "hidden": [], "kernel_size": 1},
    {"kind": "cnn", "channels": [3, 4, 5], "kernel_size": 5, "padding": 2, "hidden": [6, 7]},
    {"kind": "cnn", "channels": [3, 4], "padding": 0, "dropout": 0.2},
    *(
        {"kind": "cnn", "channels": [3, 4], "norm": norm, "activation": activation, "pool": pool}
        for norm, activation, pool in product(["none", "batch"], ["relu", "gelu", "tanh"], [1, 2])
    ),
]


@pytest.mark.parametrize("shape", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("fields", SPECS, ids=str)
def test_a_network_has_the_layers_of_its_plan_and_gives_a_logit_per_output(fields: dict[str, Any], shape: Shape) -> None:
    spec = MODEL.validate_python(fields)

    model = networks.build(spec, shape, seed=0)

    promised = {}
    for layer in plan.layers(spec, shape):
        promised[f"{layer.name}.weight"] = layer.weight
        if layer.bias:
            promised[f"{layer.name}.bias"] = layer.bias
    built = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    assert list(built.items()) == list(promised.items())
    assert sum(parameter.numel() for parameter in model.parameters()) == plan.parameters(plan.layers(spec, shape))
    assert model(torch.zeros(2, shape.channels, shape.height, shape.width)).shape == (2, shape.outputs)


def test_the_tutorial_network_has_421642_parameters() -> None:
    model = networks.build(models.TutorialCNN(), GREY, seed=0)

    assert sum(parameter.numel() for parameter in model.parameters()) == 421_642


def test_the_tutorial_network_is_the_one_the_tutorial_draws() -> None:
    model = networks.build(models.TutorialCNN(), GREY, seed=0)
    weights = dict(model.named_parameters())
    images = torch.randn(3, 1, 28, 28, generator=torch.Generator().manual_seed(1))

    values = F.max_pool2d(F.relu(F.conv2d(images, weights["conv1.weight"], weights["conv1.bias"], padding=1)), 2)
    values = F.max_pool2d(F.relu(F.conv2d(values, weights["conv2.weight"], weights["conv2.bias"], padding=1)), 2)
    values = F.relu(F.linear(values.flatten(1), weights["fc1.weight"], weights["fc1.bias"]))
    expected = F.linear(values, weights["fc2.weight"], weights["fc2.bias"])

    assert torch.equal(model(images), expected)


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_pooling_before_relu_changes_neither_function_nor_gradient(norm: Any) -> None:
    images = torch.randn(4, 1, 12, 12, generator=torch.Generator().manual_seed(1))
    gradients, outputs = [], []
    for pools_first in (True, False):
        model = networks.build(models.CNN(channels=(4, 5), norm=norm, hidden=(6,)), Shape(1, 12, 12, 3, "classes"), seed=0)
        assert isinstance(model, networks.Convolutional)
        assert model.pools_first
        model.pools_first = pools_first
        outputs.append(model(images))
        torch.autograd.backward(outputs[-1].square().sum())
        gradients.append([parameter.grad for parameter in model.parameters()])

    assert torch.equal(*outputs)
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True) if one is not None and other is not None)


def test_the_first_weights_come_from_the_seed_and_leave_torchs_own_randomness_alone() -> None:
    def weights(seed: int) -> bytes:
        return b"".join(p.detach().numpy().tobytes() for p in networks.build(models.TutorialCNN(), GREY, seed).parameters())

    torch.manual_seed(1)
    first, drawn = weights(5), torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), drawn)
    assert weights(5) == first
    assert weights(6) != first


@pytest.mark.parametrize("fields", [{"kind": "mlp", "dropout": 0.5}, {"kind": "cnn", "dropout": 0.5}], ids=["mlp", "cnn"])
def test_dropout_acts_in_training_only(fields: dict[str, Any]) -> None:
    model = networks.build(MODEL.validate_python(fields), GREY, seed=0)
    images = torch.ones(2, 1, 28, 28)

    assert not torch.equal(model(images), model(images))
    model.eval()
    assert torch.equal(model(images), model(images))

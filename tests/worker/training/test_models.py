"""The networks are the ones that the plan promised the user, and their first weights come from the seed alone."""

import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
import torchvision
from pydantic import TypeAdapter

from contract.spec import models, plan
from contract.spec.datasets import Shape
from tests.worker.training import jobs
from worker.training import checkpoint
from worker.training import models as networks

MODEL: TypeAdapter[models.Model] = TypeAdapter(models.Model)
ROOT = Path(__file__).parents[3]
GREY = Shape(1, 28, 28, 10, "classes")
COLOUR = Shape(3, 17, 13, 4, "classes")

SPECS: list[dict[str, Any]] = [
    {"kind": "tutorial_cnn"},
    {"kind": "linear"},
    {"kind": "linear", "bias": False},
    {"kind": "mlp"},
    {"kind": "resnet18"},
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


def test_a_resnet_is_torchvisions_own_but_for_its_stem() -> None:
    theirs = torchvision.models.resnet18(num_classes=10)
    model = networks.build(models.ResNet18(), Shape(3, 32, 32, 10, "classes"), seed=0)

    expected = {name: value.shape for name, value in theirs.state_dict().items()} | {"conv1.weight": (64, 3, 3, 3)}
    assert {name: value.shape for name, value in model.state_dict().items()} == expected
    assert sum(parameter.numel() for parameter in model.parameters()) == 11_173_962
    # Drawn as torchvision draws its convolutions: with a variance of 2/(outputs·k·k).
    stem = model.get_parameter("conv1.weight")
    assert float(stem.std()) == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.1)
    # The first stage sees the whole image: 32 x 32 come in and 4 x 4 leave after three halvings.
    seen: list[torch.Size] = []
    model.get_submodule("layer4").register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    model(torch.zeros(2, 3, 32, 32))
    assert seen == [(2, 512, 4, 4)]


def test_every_convolution_of_a_resnet_has_its_norm_behind_it() -> None:
    network = plan.layers(models.ResNet18(), COLOUR)

    behind = plan.norms_behind(network)

    assert list(behind) == [layer.name for layer in network if layer.is_convolution]
    assert (behind["conv1"], behind["layer2.0.conv2"], behind["layer2.0.downsample.0"]) == ("bn1", "layer2.0.bn2", "layer2.0.downsample.1")


def test_a_resnet_trains_and_its_checkpoint_loads_into_torchvisions_module(tmp_path: Path) -> None:
    run = jobs.run(tmp_path, model={"kind": "resnet18"}, dataset=jobs.TINY | {"channels": 3, "height": 9}, epochs=1, batch_size=20)
    before = run.named["layer4.1.conv2.weight"].detach().clone()
    next(jobs.to_step(run, 1))
    said = checkpoint.write(run)

    saved = safetensors.torch.load_file(tmp_path / said.folder / "model.safetensors")
    theirs = torchvision.models.resnet18(num_classes=3)
    theirs.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
    theirs.load_state_dict(saved, strict=True)
    assert not torch.equal(run.named["layer4.1.conv2.weight"], before)
    assert run.named["conv1.weight"].is_contiguous(memory_format=torch.channels_last)


def test_the_trainer_does_without_torchvision_until_a_resnet_is_asked_for() -> None:
    program = "import sys; sys.modules['torchvision'] = None; import worker.training.serve"

    assert subprocess.run([sys.executable, "-c", program], capture_output=True, cwd=ROOT).returncode == 0


def test_an_image_that_a_resnet_would_halve_to_nothing_is_refused() -> None:
    with pytest.raises(plan.MisfitError, match="7 x 9 is too small"):
        plan.layers(models.ResNet18(), Shape(1, 7, 9, 2, "classes"))

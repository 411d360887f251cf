"""The optimizers are torch's own, and the momentum of the tutorial is its recurrence."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import TypeAdapter
from torch import Tensor, nn, optim

from contract.spec import models, optimizers
from contract.spec.datasets import Shape
from worker.training import models as networks
from worker.training import optimizers as stepping
from worker.training.optimizers import metric

OPTIMIZER: TypeAdapter[optimizers.Optimizer] = TypeAdapter(optimizers.Optimizer)
SHAPE = Shape(1, 8, 8, 3, "classes")
NAMED: dict[str, tuple[type[optim.Optimizer], dict[str, Any]]] = {
    "sgd": (optim.SGD, {"lr": 0.05}),
    "heavy_ball": (optim.SGD, {"lr": 0.05, "momentum": 0.9, "dampening": 0.3}),
    "nesterov": (optim.SGD, {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "adam": (optim.Adam, {"lr": 2e-3, "betas": (0.8, 0.99), "eps": 1e-6}),
    "amsgrad": (optim.Adam, {"lr": 2e-3, "amsgrad": True}),
    "adamw": (optim.AdamW, {"lr": 2e-3, "weight_decay": 0.1}),
}


def _network(dtype: torch.dtype) -> nn.Module:
    model = networks.build(models.CNN(channels=(4, 5), hidden=(6,)), SHAPE, seed=0)
    return model.to(dtype).to(memory_format=torch.channels_last)


def _train(model: nn.Module, optimizer: optim.Optimizer, steps: int = 50) -> list[Tensor]:
    generator = torch.Generator().manual_seed(2)
    dtype = next(model.parameters()).dtype
    for _ in range(steps):
        images = torch.randn(8, 1, 8, 8, generator=generator, dtype=dtype)
        optimizer.zero_grad()
        torch.autograd.backward(F.cross_entropy(model(images), torch.randint(3, (8,), generator=generator)))
        optimizer.step()
    return [parameter.detach() for parameter in model.parameters()]


@pytest.mark.parametrize("name", NAMED)
def test_an_optimizer_that_torch_names_is_torchs_own(name: str) -> None:
    kind, arguments = NAMED[name]
    spec = OPTIMIZER.validate_python({"kind": "sgd" if kind is optim.SGD else kind.__name__.lower(), **arguments})
    # In float64 the fused kernels may differ from the plain loop only by rounding.
    model, reference = _network(torch.float64), _network(torch.float64)

    found = _train(model, stepping.build(spec, list(model.parameters())))
    expected = _train(reference, kind(reference.parameters(), foreach=False, fused=False, **arguments))  # type: ignore[call-arg]

    for one, other in zip(found, expected, strict=True):
        if kind is optim.SGD:
            assert torch.equal(one, other)
        else:
            assert torch.allclose(one, other, rtol=0, atol=1e-12)


def test_gd_is_sgd_without_momentum() -> None:
    model, reference = _network(torch.float32), _network(torch.float32)

    found = _train(model, stepping.build(optimizers.GD(lr=0.05), list(model.parameters())), steps=10)

    expected = _train(reference, optim.SGD(reference.parameters(), lr=0.05, foreach=False), steps=10)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_momentum_ema_is_its_recurrence_from_zero_to_the_bit() -> None:
    theta = torch.randn(50, generator=torch.Generator().manual_seed(0))
    parameter = nn.Parameter(theta.clone())
    optimizer = stepping.build(optimizers.MomentumEMA(lr=0.1, beta=0.9), [parameter])
    v = torch.zeros(50)
    for step in range(20):
        gradient = torch.randn(50, generator=torch.Generator().manual_seed(step))

        parameter.grad = gradient.clone()
        optimizer.step()

        v = v.mul(0.9).add(gradient, alpha=1 - 0.9)
        theta = theta.add(v, alpha=-0.1)
        assert torch.equal(parameter.detach(), theta)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "gd"},
        {"kind": "sgd"},
        {"kind": "sgd", "momentum": 0.9},
        {"kind": "sgd", "momentum": 0.9, "dampening": 0.5},
        {"kind": "sgd", "momentum": 0.9, "nesterov": True},
        {"kind": "momentum_ema"},
        {"kind": "adam"},
        {"kind": "adamw", "weight_decay": 0.0},
    ],
    ids=str,
)
def test_a_threshold_is_the_distance_that_a_steady_gradient_of_size_lambda_moves_a_weight(fields: dict[str, Any]) -> None:
    lam, lr = 0.3, 0.01
    spec = OPTIMIZER.validate_python({**fields, "lr": lr})
    parameter = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = stepping.build(spec, [parameter])
    for _ in range(400):
        before = parameter.detach().clone()
        parameter.grad = torch.full((1,), lam, dtype=torch.float64)
        optimizer.step()

    moved = (before - parameter.detach()).item()
    threshold = metric.of(spec, optimizer)([parameter], lr * lam)

    assert (threshold if isinstance(threshold, float) else threshold[0].item()) == pytest.approx(moved, rel=1e-9)

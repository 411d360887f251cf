"""The optimizers are their libraries' own, and the momentum of the tutorial is its recurrence."""

import math
from typing import Any, get_args

import pytest
import torch
import torch.nn.functional as F
from pydantic import TypeAdapter
from pytorch_optimizer import Lion
from schedulefree import AdamWScheduleFree
from torch import Tensor, nn, optim

from contract.spec import models, optimizers
from contract.spec.datasets import Shape
from worker.training import models as networks
from worker.training import optimizers as stepping
from worker.training.optimizers import sam, state

OPTIMIZER: TypeAdapter[optimizers.Optimizer] = TypeAdapter(optimizers.Optimizer)
SHAPE = Shape(1, 8, 8, 3, "classes")
# By the name that torch has for the thing; what we run as foreach or in place must be the plain loop to the bit where its order is.
NAMED: dict[str, tuple[type[optim.Optimizer], dict[str, Any]]] = {
    "sgd": (optim.SGD, {"lr": 0.05}),
    "heavy_ball": (optim.SGD, {"lr": 0.05, "momentum": 0.9, "dampening": 0.3}),
    "nesterov": (optim.SGD, {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "adam": (optim.Adam, {"lr": 2e-3, "betas": (0.8, 0.99), "eps": 1e-6}),
    "amsgrad": (optim.Adam, {"lr": 2e-3, "amsgrad": True}),
    "adamw": (optim.AdamW, {"lr": 2e-3, "weight_decay": 0.1}),
    "nadam": (optim.NAdam, {"lr": 2e-3, "betas": (0.8, 0.99), "eps": 1e-6, "momentum_decay": 0.01}),
    "radam": (optim.RAdam, {"lr": 2e-3, "betas": (0.8, 0.99), "eps": 1e-6}),
    "rmsprop": (optim.RMSprop, {"lr": 2e-3, "alpha": 0.9, "eps": 1e-6}),
    "rmsprop_centered": (optim.RMSprop, {"lr": 2e-3, "momentum": 0.5, "centered": True}),
    "adagrad": (optim.Adagrad, {"lr": 0.02, "lr_decay": 0.1, "initial_accumulator_value": 0.2, "eps": 1e-8}),
    "adadelta": (optim.Adadelta, {"lr": 0.5, "rho": 0.8, "eps": 1e-5}),
    "adamax": (optim.Adamax, {"lr": 2e-3, "betas": (0.8, 0.99), "eps": 1e-6}),
}
BITWISE = {"sgd", "heavy_ball", "nesterov", "rmsprop", "rmsprop_centered", "adagrad", "adadelta", "adamax"}


def _network(dtype: torch.dtype) -> nn.Module:
    model = networks.build(models.CNN(channels=(4, 5), hidden=(6,)), SHAPE, seed=0)
    return model.to(dtype).to(memory_format=torch.channels_last)


def _train(model: nn.Module, optimizer: optim.Optimizer, steps: int = 50) -> list[Tensor]:
    generator = torch.Generator().manual_seed(2)
    dtype = next(model.parameters()).dtype
    for _ in range(steps):
        images = torch.randn(8, 1, 8, 8, generator=generator, dtype=dtype)
        model.zero_grad()
        torch.autograd.backward(F.cross_entropy(model(images), torch.randint(3, (8,), generator=generator)))
        optimizer.step()
    return [parameter.detach() for parameter in model.parameters()]


def _follow(model: nn.Module, optimizer: optim.Optimizer, steps: int = 50) -> list[Tensor]:
    """The same on gradients that are drawn, whatever the weights: no network carries a rounding on."""
    for step in range(steps):
        for index, parameter in enumerate(model.parameters()):
            generator = torch.Generator().manual_seed(100 * step + index)
            parameter.grad = torch.empty_like(parameter).copy_(torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
        optimizer.step()
    return [parameter.detach() for parameter in model.parameters()]


def _spec(kind: str, arguments: dict[str, Any]) -> optimizers.Optimizer:
    return OPTIMIZER.validate_python({"kind": kind, **arguments})


def _largest_difference(found: list[Tensor], expected: list[Tensor]) -> float:
    return max(float((one - other).abs().max()) for one, other in zip(found, expected, strict=True))


# In float32 a network would amplify what fused kernels round otherwise: 1e-7 becomes 2e-4 within fifty steps of amsgrad.
@pytest.mark.parametrize(
    ("dtype", "bar", "train"), [(torch.float64, 1e-12, _train), (torch.float32, 1e-7, _follow)], ids=["float64", "float32"]
)
@pytest.mark.parametrize("name", NAMED)
def test_an_optimizer_that_torch_names_is_torchs_own(name: str, dtype: torch.dtype, bar: float, train: Any) -> None:
    kind, arguments = NAMED[name]
    model, reference = _network(dtype), _network(dtype)
    loop = {"foreach": False} | ({"fused": False} if kind in (optim.Adam, optim.AdamW) else {})

    found = train(model, stepping.build(_spec(kind.__name__.lower(), arguments), list(model.parameters())))
    expected = train(reference, kind(reference.parameters(), **arguments, **loop))  # type: ignore[arg-type]

    assert _largest_difference(found, expected) <= (0 if name in BITWISE else bar)


def test_every_optimizer_that_torch_has_is_compared_with_torchs() -> None:
    ours = {"GD", "MomentumEMA", "SAM", "Muon", "LBFGS", "Lion", "ScheduleFree"}
    members = {member.__name__ for member in get_args(get_args(optimizers.Optimizer)[0])}

    assert members - ours == {kind.__name__ for kind, _ in NAMED.values()}


def _other(value: Any) -> Any:
    """Another value of the same type that is valid where this one is."""
    match value:
        case bool() | str():
            return not value if isinstance(value, bool) else None
        case tuple():
            return (0.25, 0.75)
        case int():
            return value + 1
        case _:
            return value / 2 or 0.25


FIELDS = [
    (member, name)
    for member in get_args(get_args(optimizers.Optimizer)[0])
    if member not in (optimizers.SAM, optimizers.MomentumEMA)
    for name in member.model_fields
    if name != "kind"
]


@pytest.mark.parametrize(("member", "name"), FIELDS, ids=lambda value: getattr(value, "__name__", value))
def test_every_field_of_a_spec_reaches_the_library(member: Any, name: str) -> None:
    default = member(momentum=0.9) if name == "nesterov" and member is optimizers.SGD else member()
    value = _other(getattr(default, name))

    built = stepping.build(default.model_copy(update={name: value}), [nn.Parameter(torch.ones(2, 2)) for _ in range(2)])

    assert value in [group.get(name) for group in built.param_groups]


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


def test_lion_is_its_librarys_own() -> None:
    model, reference = _network(torch.float64), _network(torch.float64)

    found = _train(model, stepping.build(optimizers.Lion(lr=1e-3, betas=(0.8, 0.9)), list(model.parameters())))

    expected = _train(reference, Lion(reference.parameters(), lr=1e-3, betas=(0.8, 0.9), foreach=False))
    assert _largest_difference(found, expected) <= 1e-12


def test_schedule_free_is_its_librarys_own_and_a_warm_up_of_ours_is_one_of_its() -> None:
    model, reference = _network(torch.float64), _network(torch.float64)
    spec = optimizers.ScheduleFree(lr=0.01, weight_decay=0.1)
    optimizer = stepping.build(spec, list(model.parameters()))
    theirs = AdamWScheduleFree(reference.parameters(), lr=0.01, weight_decay=0.1, warmup_steps=10, foreach=False)
    theirs.train()
    for step in range(30):
        stepping.set_lr(optimizer, 0.01 * min((step + 1) / 10, 1))
        for network, stepper in ((model, optimizer), (reference, theirs)):
            _follow(network, stepper, steps=1)

    trained = [parameter.detach().clone() for parameter in model.parameters()]
    found = stepping.averaged(spec, optimizer, list(model.parameters()))

    assert _largest_difference(trained, [parameter.detach() for parameter in reference.parameters()]) <= 1e-12
    theirs.eval()
    assert found is not None
    assert _largest_difference(found, [parameter.detach() for parameter in reference.parameters()]) <= 1e-12
    assert _largest_difference(found, trained) > 1e-3
    assert all(torch.equal(one, other) for one, other in zip(trained, model.parameters(), strict=True)), "y is not touched"


def test_before_the_first_step_of_schedule_free_the_average_is_where_it_begins() -> None:
    spec, parameter = optimizers.ScheduleFree(), nn.Parameter(torch.randn(5))

    found = stepping.averaged(spec, stepping.build(spec, [parameter]), [parameter])

    assert found is not None
    assert torch.equal(found[0], parameter)


def test_other_optimizers_keep_no_average() -> None:
    parameter = nn.Parameter(torch.zeros(1))

    assert stepping.averaged(optimizers.Adam(), stepping.build(optimizers.Adam(), [parameter]), [parameter]) is None


def test_muon_is_torchs_on_the_flattened_hidden_weights_and_adamw_on_the_rest() -> None:
    model, reference = _network(torch.float64), _network(torch.float64).to(memory_format=torch.contiguous_format)
    spec = optimizers.Muon(lr=0.01)
    optimizer = stepping.build(spec, list(model.parameters()))
    hidden = ["conv1.weight", "conv2.weight", "fc1.weight"]
    named = dict(reference.named_parameters())
    matrices = [nn.Parameter(named[name].detach().flatten(1).clone()) for name in hidden]
    muon = optim.Muon(matrices, lr=0.01, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    adamw = optim.AdamW([p for name, p in named.items() if name not in hidden], lr=0.01, weight_decay=0.0, foreach=False)
    start = {name: parameter.detach().clone() for name, parameter in named.items()}
    for step in range(5):
        for index, (ours, theirs) in enumerate(zip(model.parameters(), reference.parameters(), strict=True)):
            gradient = torch.randn(theirs.shape, generator=torch.Generator().manual_seed(100 * step + index), dtype=torch.float64)
            ours.grad = torch.empty_like(ours).copy_(gradient)
            theirs.grad = gradient
        for name, matrix in zip(hidden, matrices, strict=True):
            matrix.grad = named[name].grad.flatten(1)  # type: ignore[union-attr]
        optimizer.step()
        muon.step()  # type: ignore[no-untyped-call]
        adamw.step()

    for name, ours in model.named_parameters():
        theirs = matrices[hidden.index(name)].view(ours.shape) if name in hidden else named[name]
        # torch orthogonalises in bfloat16, whose rounding depends on the order of the columns.
        moved = float((theirs.detach() - start[name]).norm())
        assert float((ours.detach() - theirs.detach()).norm()) <= (0.02 * moved if name in hidden[:2] else 1e-12), name


def test_muon_steps_a_channels_last_filter_in_place() -> None:
    model = _network(torch.float32)
    weight = dict(model.named_parameters())["conv2.weight"]
    address, before = weight.data_ptr(), weight.detach().clone()

    _train(model, stepping.build(optimizers.Muon(), list(model.parameters())), steps=1)

    assert weight.data_ptr() == address
    assert weight.is_contiguous(memory_format=torch.channels_last)
    # An orthogonal [5, 36] has √5 for its norm: 0.2·lr·√36·√5 in all, 0.2·lr a value, whatever the size of the gradient.
    assert float((weight.detach() - before).square().mean().sqrt()) == pytest.approx(0.2e-3, rel=0.2)


def test_lbfgs_is_torchs_own_one_iteration_a_step() -> None:
    torch.manual_seed(0)
    A, b = torch.randn(20, 5, dtype=torch.float64), torch.randn(20, dtype=torch.float64)
    ours, theirs = (nn.Parameter(torch.zeros(5, dtype=torch.float64)) for _ in range(2))

    def closure(parameter: nn.Parameter) -> float:
        parameter.grad = None
        loss = (A @ parameter - b).square().mean() / 2 + parameter.exp().sum() / 50
        torch.autograd.backward(loss)
        return float(loss.detach())

    spec = optimizers.LBFGS(tolerance_grad=0, tolerance_change=1e-16)
    optimizer = stepping.build(spec, [ours])
    reference = optim.LBFGS([theirs], max_iter=6, max_eval=1000, tolerance_grad=0, tolerance_change=1e-16, line_search_fn="strong_wolfe")
    for _ in range(6):
        stepping.step(optimizer, lambda: closure(ours))
    reference.step(lambda: closure(theirs))  # type: ignore[no-untyped-call]

    assert float((ours - theirs).abs().max()) <= 1e-12
    assert closure(ours) < 1
    assert ours.grad is not None
    assert float(ours.grad.abs().max()) < 1e-2


def test_sam_stands_at_rho_along_the_gradient_and_comes_back_to_the_bit() -> None:
    parameters = [nn.Parameter(torch.randn(7)), nn.Parameter(torch.randn(3, 2))]
    before = [parameter.detach().clone() for parameter in parameters]
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    gradient = torch.cat([parameter.grad.flatten() for parameter in parameters if parameter.grad is not None])

    with sam.ascended(parameters, rho=0.3) as kept:
        moved = torch.cat([(p.detach() - b).flatten() for p, b in zip(parameters, before, strict=True)])
        assert all(torch.equal(one, other) for one, other in zip(kept, before, strict=True))

    assert torch.allclose(moved, 0.3 * gradient / gradient.norm(), atol=1e-6)
    assert all(torch.equal(one, other) for one, other in zip(parameters, before, strict=True))


def test_sam_goes_nowhere_along_a_gradient_of_zero() -> None:
    parameter = nn.Parameter(torch.ones(3))
    parameter.grad = torch.zeros(3)

    with sam.ascended([parameter], rho=1.0):
        assert torch.equal(parameter.detach(), torch.ones(3))


def test_a_state_of_lists_numbers_and_nothing_survives_json_and_comes_back_whole() -> None:
    parameter, fresh = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer, other = optim.SGD([parameter], lr=0.1), optim.SGD([fresh], lr=0.1)
    optimizer.param_groups[0]["k"] = 7
    optimizer.state[parameter].update(
        empty=[], list=[torch.tensor([1.5, 2.5, 3.5]), None, 0.1, 3], whole=4, real=1.0, tiny=5e-324, far=math.inf, flag=True, none=None
    )

    rest = state.Remembered.model_validate_json(state.remembered(optimizer, {"w": parameter}).model_dump_json())
    state.restore(other, {"w": fresh}, state.tensors(optimizer, {"w": parameter}), rest)

    found, expected = other.state[fresh], optimizer.state[parameter]
    assert torch.equal(found["list"].pop(0), expected["list"].pop(0))
    assert found == {key: value for key, value in expected.items() if value is not None}
    assert {key: type(value) for key, value in found.items()} == {key: type(value) for key, value in expected.items() if value is not None}
    assert other.param_groups[0]["k"] == 7

"""The penalties are the formulas of their specs, reach the parameters they are laid on, and cost a few passes a step."""

from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from contract import events, spec
from tests.worker.training import jobs
from worker.training import checkpoint, penalties
from worker.training.penalties.matrices import Spectral
from worker.training.run import Run

CNN = {"kind": "cnn", "channels": [4], "hidden": [5], "norm": "batch"}
KINDS = [member.model_fields["kind"].default for member in get_args(get_args(spec.penalties.Penalty)[0])]
GROUPED = [
    {"kind": kind, "lambda": 0.02, "by": by} for kind in ("group_lasso", "sparse_group") for by in ("filter", "neuron", "input_channel")
]
# Each kind once, in each of its forms, with a strength that shows.
FORMS: list[dict[str, Any]] = [
    {"kind": "max_norm", "max_norm": 0.5},
    {"kind": "l1", "lambda": 0.02, "apply": "subgradient"},
    *GROUPED,
    *({"kind": kind, "lambda": 0.02} for kind in KINDS if kind not in {"max_norm", "group_lasso", "sparse_group"}),
]


def _told(form: Any) -> str:
    return "-".join(str(value) for name, value in form.items() if name != "lambda")


def _run(tmp_path: Path, *terms: dict[str, Any], **fields: Any) -> Run:
    run = jobs.run(tmp_path, **{"model": CNN, "precision": "float64", "penalties": terms, **fields})
    for parameter in run.named.values():
        parameter.grad = torch.zeros_like(parameter)
    return run


def _orthogonal(weight: Tensor) -> Tensor:
    matrix = weight.flatten(1)
    gram = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
    return (gram - torch.eye(len(gram))).square().sum() / 2


# Each coupled penalty of λ 1 written down a second time, how near autograd its gradient must be, and where it can lie.
COUPLED: dict[str, tuple[Any, float, list[Any]]] = {
    "l1": (lambda p: p.abs().sum(), 0.0, ["weights", "all"]),
    "l2": (lambda p: p.square().sum() / 2, 0.0, ["weights", "all"]),
    "hoyer": (lambda p: p.abs().sum().square() / p.square().sum(), 1e-12, ["weights", ["conv1", "norm1"]]),
    "orthogonal": (_orthogonal, 1e-12, ["weights", ["conv1"]]),
    "spectral": (lambda p: torch.linalg.svdvals(p.flatten(1))[0].square() / 2, 1e-12, ["weights", ["fc1"]]),
}


@pytest.mark.parametrize(("kind", "on"), [(kind, on) for kind in COUPLED for on in COUPLED[kind][2]], ids=str)
def test_a_coupled_penalty_adds_the_gradient_that_autograd_finds_for_it(tmp_path: Path, kind: str, on: Any) -> None:
    formula, bar, _ = COUPLED[kind]
    term = {"kind": kind, "lambda": 0.03, "on": on} | ({"apply": "subgradient"} if kind == "l1" else {})
    run = _run(tmp_path, term)
    penalised = run.terms[0].parameters
    value = sum((0.03 * formula(p) for p in penalised), torch.zeros(()))
    expected = torch.autograd.grad(value, penalised)

    # A power iteration needs more than a step to meet a singular vector; for the others each step is the same.
    for _ in range(400 if kind == "spectral" else 1):
        for p in penalised:
            p.grad = torch.zeros_like(p)
        penalties.add_gradients(run.terms, step=0)

    assert all(p.grad is not None and (p.grad - g).norm() <= bar * g.norm() for p, g in zip(penalised, expected, strict=True))
    assert penalties.values(run.terms, step=0) == {f"train.penalty.{kind}": pytest.approx(value.item(), rel=1e-10)}


@pytest.mark.parametrize("kind", ["hoyer", "spectral", "orthogonal"])
def test_at_zero_weights_a_gradient_is_zero_and_training_can_leave_them(tmp_path: Path, kind: str) -> None:
    run = _run(tmp_path, {"kind": kind, "lambda": 1.0})
    kept = [parameter.detach().clone() for parameter in run.terms[0].parameters]
    with torch.no_grad():
        torch._foreach_zero_(run.terms[0].parameters)

    penalties.add_gradients(run.terms, step=0)
    at_zero = [gradient.clone() for gradient in run.terms[0].gradients]
    with torch.no_grad():
        torch._foreach_copy_(run.terms[0].parameters, kept)
    penalties.add_gradients(run.terms, step=1)

    assert not any(gradient.any() for gradient in at_zero)
    assert all(gradient.isfinite().all() and gradient.any() for gradient in run.terms[0].gradients)
    assert all(value.isfinite().all() and value.any() for value in penalties.state(run.terms).values())


@pytest.mark.parametrize(
    ("on", "expected"),
    [
        ("weights", ["conv1.weight", "fc1.weight", "fc2.weight"]),
        ("all", ["conv1.weight", "conv1.bias", "norm1.weight", "norm1.bias", "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]),
        (["fc2", "norm1"], ["fc2.weight", "norm1.weight"]),
    ],
)
def test_a_penalty_lies_on_what_its_spec_says(tmp_path: Path, on: Any, expected: list[str]) -> None:
    run = _run(tmp_path, {"kind": "l2", "lambda": 1.0, "on": on})
    names = {id(parameter): name for name, parameter in run.named.items()}

    assert [names[id(parameter)] for parameter in run.terms[0].parameters] == expected


@pytest.mark.parametrize("form", FORMS, ids=_told)
def test_a_bias_is_not_penalised_by_default(tmp_path: Path, form: dict[str, Any]) -> None:
    run = _after_a_step(tmp_path, form)
    with torch.no_grad():
        for parameter in run.named.values():
            # Small values for the penalties that leave large ones alone, large ones for the constraint.
            parameter.copy_(torch.linspace(1e-3, 1.5, parameter.numel()).view(parameter.shape))
    before = {name: parameter.detach().clone() for name, parameter in run.named.items()}

    _whole_step(run)

    moved = {name for name, parameter in run.named.items() if not torch.equal(parameter, before[name]) or parameter.grad.any()}
    assert moved == {
        "filter": {"conv1.weight"},
        "neuron": {"fc1.weight", "fc2.weight"},
    }.get(form.get("by", "all layers"), {"conv1.weight", "fc1.weight", "fc2.weight"})


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "max_norm"])
def test_a_strength_rises_linearly_from_zero_over_its_warm_up(tmp_path: Path, kind: str) -> None:
    run = _run(tmp_path, {"kind": kind, "lambda": 0.6, "warmup_epochs": 2})

    assert [run.terms[0].strength(step) for step in (0, 1, 3, 6, 7)] == pytest.approx([0.0, 0.1, 0.3, 0.6, 0.6])
    before = jobs.bits(run)
    penalties.decay(run.terms, 0, 0.1)
    penalties.shrink(run.terms, 0, 0.1, lambda _, scale: scale)
    assert jobs.bits(run) == before


def test_several_penalties_of_a_kind_are_reported_as_their_sum(tmp_path: Path) -> None:
    single = _run(tmp_path, {"kind": "l2", "lambda": 0.3})
    twice = _run(tmp_path, {"kind": "l2", "lambda": 0.1}, {"kind": "l2", "lambda": 0.2})

    assert penalties.values(twice.terms, 0) == {"train.penalty.l2": pytest.approx(penalties.values(single.terms, 0)["train.penalty.l2"])}


def test_a_proximal_l1_gives_exact_zeros_and_a_subgradient_gives_none(tmp_path: Path) -> None:
    zeros = {}
    for apply in ("proximal", "subgradient"):
        penalty = {"kind": "l1", "lambda": 5e-2, "apply": apply}
        found = jobs.result(_run(tmp_path / apply, penalty, epochs=20))
        zeros[apply] = sum(layer.zeros for layer in found.layers)
        assert found.metrics["weights.zeros"] == zeros[apply] / sum(layer.size for layer in found.layers)

    assert zeros["proximal"] > 100
    assert zeros["subgradient"] == 0


class _Counting(TorchDispatchMode):
    """Counts what is dispatched: each a pass, and on a GPU a launch."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not str(func).startswith(("aten.detach", "aten.item", "aten._local_scalar")):
            self.count += 1
        return func(*args, **(kwargs or {}))


# What a step takes where a map, or a matrix for each layer, needs more than eight: [SGD, Adam], on three layers.
CEILINGS: dict[str, tuple[int, int]] = {
    "elastic_net": (4, 12),
    "mcp": (8, 20),
    "scad": (11, 51),
    "l_half": (16, 23),
    "max_norm": (15, 15),
    "orthogonal": (22, 22),
    "spectral": (40, 40),
    # Ten Newton steps in float64, for a closed form with SGD.
    "group_lasso": (21, 445),
    "sparse_group": (24, 451),
}


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("form", FORMS, ids=_told)
def test_a_penalty_adds_at_most_eight_operations_to_a_step_or_what_its_map_needs(
    tmp_path: Path, optimizer: str, form: dict[str, Any]
) -> None:
    run = _after_a_step(tmp_path, form, optimizer={"kind": optimizer})

    with _Counting() as counting:
        _whole_step(run)

    assert 0 < counting.count <= CEILINGS.get(form["kind"], (8, 8))[optimizer == "adam"]


def _whole_step(run: Run, lr: float = 0.1) -> None:
    """What the penalties do in a step, less the optimizer's part."""
    penalties.add_gradients(run.terms, step=1)
    penalties.decay(run.terms, 1, lr)
    penalties.shrink(run.terms, 1, lr, run.metric)


def _after_a_step(tmp_path: Path, form: dict[str, Any], **fields: Any) -> Run:
    """A run whose optimizer has a metric, with gradients that only penalties add to."""
    run = _run(tmp_path, form, **fields)
    jobs.to_step(run, 1)
    for parameter in run.named.values():
        parameter.grad = torch.zeros_like(parameter)
    return run


def test_a_decoupled_decay_is_l2_under_sgd_and_something_else_under_adam(tmp_path: Path) -> None:
    apart = {}
    for optimizer in ("sgd", "adam"):
        found = []
        for kind in ("l2", "decoupled_decay"):
            run = _run(tmp_path / optimizer / kind, {"kind": kind, "lambda": 0.05}, optimizer={"kind": optimizer, "lr": 0.02})
            jobs.to_step(run, 8)
            found.append(torch.cat([parameter.detach().flatten() for parameter in run.named.values()]))
        apart[optimizer] = float((found[0] - found[1]).norm() / found[0].norm())

    assert apart["sgd"] <= 1e-15
    assert apart["adam"] > 1e-3


def test_a_decoupled_decay_is_reported_as_a_diagnostic_and_is_no_part_of_the_objective(tmp_path: Path) -> None:
    run = _run(tmp_path, {"kind": "decoupled_decay", "lambda": 0.05}, {"kind": "l2", "lambda": 0.01}, epochs=1)

    metrics = jobs.result(run).metrics

    assert metrics["train.diagnostic.decoupled_decay"] == pytest.approx(5 * metrics["train.penalty.l2"])
    assert "train.penalty.decoupled_decay" not in metrics
    assert metrics["train.objective"] == metrics["train.loss"] + metrics["train.penalty.l2"]


@pytest.mark.parametrize("kind", ["group_lasso", "sparse_group"])
@pytest.mark.parametrize(
    ("by", "with_bias", "expected"),
    [
        ("filter", False, ["conv1.weight"]),
        ("filter", True, ["conv1.weight", "conv1.bias", "norm1.weight", "norm1.bias"]),
        ("neuron", True, ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]),
        ("input_channel", False, ["conv1.weight", "fc1.weight", "fc2.weight"]),
    ],
)
def test_a_group_holds_what_its_spec_says(tmp_path: Path, kind: str, by: str, expected: list[str], *, with_bias: bool) -> None:
    run = _run(tmp_path, {"kind": kind, "lambda": 1.0, "by": by, "with_bias": with_bias})
    names = {id(parameter): name for name, parameter in run.named.items()}

    assert [names[id(parameter)] for parameter in run.terms[0].parameters] == expected


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_filter_at_zero_with_its_bias_and_norm_gives_nothing(tmp_path: Path, optimizer: str) -> None:
    penalty = {"kind": "group_lasso", "lambda": 1.0, "with_bias": True}
    run = _run(tmp_path, penalty, optimizer={"kind": optimizer, "lr": 0.05}, epochs=8)
    jobs.said(run)
    images, _ = run.data.test.between(0, 20)

    assert not any(parameter.any() for parameter in run.terms[0].parameters)
    norm = run.model.get_submodule("norm1")(run.model.get_submodule("conv1")(images))
    assert not norm.any()


@pytest.mark.parametrize("form", [form for form in GROUPED if form["kind"] == "group_lasso"], ids=_told)
def test_a_group_penaltys_value_is_its_formula(tmp_path: Path, form: dict[str, Any]) -> None:
    run = _run(tmp_path, form)
    found = 0.0
    for parameter in run.terms[0].parameters:
        matrix = parameter.transpose(0, 1).flatten(1) if form["by"] == "input_channel" else parameter.flatten(1)
        found += sum(matrix.shape[1] ** 0.5 * float(row.detach().norm()) for row in matrix)

    assert penalties.values(run.terms, 0) == {"train.penalty.group_lasso": pytest.approx(0.02 * found)}
    mixed = _run(tmp_path, {**form, "kind": "sparse_group", "l1_ratio": 0.25})
    expected = 0.02 * (0.25 * sum(float(p.detach().abs().sum()) for p in run.terms[0].parameters) + 0.75 * found)
    assert penalties.values(mixed.terms, 0) == {"train.penalty.sparse_group": pytest.approx(expected)}


def test_max_norm_is_torchs_renorm_and_holds_after_any_penalty_that_comes_with_it(tmp_path: Path) -> None:
    run = _run(tmp_path, {"kind": "max_norm", "max_norm": 0.4}, {"kind": "l1", "lambda": 1e-3}, optimizer={"kind": "adam"})
    jobs.said(run)
    assert all(parameter.flatten(1).norm(dim=1).max() <= 0.4 + 1e-12 for parameter in run.terms[-1].parameters)
    with torch.no_grad():
        torch._foreach_mul_(run.terms[-1].parameters, 3.0)
        run.terms[-1].parameters[0][1] *= 0.1
    expected = [torch.renorm(parameter.detach(), 2, 0, 0.4) for parameter in run.terms[-1].parameters]

    penalties.shrink(run.terms[-1:], 0, 0.1, run.metric)

    # torch divides by the norm plus 1e-7.
    assert all(torch.allclose(p, e, rtol=1e-6, atol=0) for p, e in zip(run.terms[-1].parameters, expected, strict=True))
    assert any((p.flatten(1).norm(dim=1) < 0.399).any() for p in run.terms[-1].parameters)
    assert penalties.values(run.terms, 0)["train.penalty.max_norm"] == 0.0


@pytest.mark.parametrize("kind", ["mcp", "scad", "l_half", "l0"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_non_convex_penalty_lowers_the_objective_and_sets_zeros(tmp_path: Path, kind: str, optimizer: str) -> None:
    lr = 0.05 if optimizer == "sgd" else 0.005
    penalty = {"kind": kind, "lambda": 0.05 if kind in {"mcp", "scad"} else 2e-3, "warmup_epochs": 2}
    run = _run(tmp_path, penalty, optimizer={"kind": optimizer, "lr": lr}, epochs=25, model={"kind": "mlp", "hidden": [8]})
    objectives = [event.metrics["train.objective"] for event in jobs.said(run) if isinstance(event, events.EpochDone)]

    assert objectives[-1] < min(objectives[2], objectives[0])
    assert all(after <= before * 1.15 for before, after in pairwise(objectives[2:]))
    assert 10 < sum(int((p == 0).sum()) for p in run.terms[0].parameters) < sum(p.numel() for p in run.terms[0].parameters) - 10


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("form", [form for form in FORMS if form["kind"] != "max_norm"], ids=_told)
def test_a_strength_too_small_for_any_weight_moves_none(tmp_path: Path, form: dict[str, Any], optimizer: str) -> None:
    run = _after_a_step(tmp_path, form | {"lambda": 1e-60}, optimizer={"kind": optimizer}, precision="float32")
    with torch.no_grad():
        for parameter in run.named.values():
            parameter[0] = 0.0
    before = {name: parameter.detach().clone() for name, parameter in run.named.items()}

    _whole_step(run)

    assert all(torch.equal(parameter, before[name]) for name, parameter in run.named.items())


def test_a_checkpoint_holds_the_vectors_of_the_power_iteration(tmp_path: Path) -> None:
    run = jobs.run(tmp_path / "first", model=jobs.CONVOLUTIONAL, penalties=[{"kind": "spectral", "lambda": 0.1}])
    begun = [value.clone() for value in penalties.state(run.terms).values()]
    jobs.to_step(run, 2)
    source = tmp_path / "first" / checkpoint.write(run).folder

    resumed = jobs.run(tmp_path / "second", source, model=jobs.CONVOLUTIONAL, penalties=[{"kind": "spectral", "lambda": 0.1}])

    assert isinstance(resumed.terms[0], Spectral)
    assert list(penalties.state(resumed.terms)) == [f"penalty.0.{name}" for name in ("conv1", "conv2", "fc1", "fc2")]
    for before, saved, found in zip(begun, penalties.state(run.terms).values(), penalties.state(resumed.terms).values(), strict=True):
        assert torch.equal(saved, found)
        assert not torch.equal(before, found)

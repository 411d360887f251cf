"""What a spec means: its defaults, what cannot run, and that it speaks torch's names where torch has the thing."""

import inspect
from typing import Any, get_args

import pytest
import pytorch_optimizer
import schedulefree
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from contract.spec import JobSpec, check, models, plan
from contract.spec.datasets import Builtin, Fake, Shape, held_out

FASHION = Builtin().shape()
NEEDED = {"uploaded": {"id": f"ds_{'0' * 26}"}}
"""What a kind cannot do without, where its name alone is not enough."""
FAMILIES = ["dataset", "model", "loss", "optimizer", "schedule"]


def kinds(family: str) -> list[type[BaseModel]]:
    """The classes of a family's union."""
    annotation = JobSpec.model_fields[family].annotation
    return list(get_args(annotation))


def pointers(document: dict[str, Any]) -> dict[str, str]:
    return {fault.pointer: fault.message for fault in check.faults(JobSpec.model_validate(document))}


def test_the_minimal_spec_is_the_tutorials_whole_job() -> None:
    spec = JobSpec.model_validate({"optimizer": {"kind": "adam"}, "penalties": [{"kind": "l2", "lambda": 5e-4}], "epochs": 10})
    assert (spec.model.kind, spec.dataset.name, spec.loss.kind, spec.batch_size) == ("tutorial_cnn", "fashion_mnist", "cross_entropy", 64)
    assert check.faults(spec) == []
    assert plan.parameters(plan.layers(spec.model, FASHION)) == 421_642


@pytest.mark.parametrize(("family", "kind"), [(family, kind) for family in FAMILIES for kind in kinds(family)], ids=str)
def test_every_kind_is_a_job_by_its_name_alone_and_can_be_posted_back_as_it_is(family: str, kind: type[BaseModel]) -> None:
    name = kind.model_fields["kind"].default
    spec = JobSpec.model_validate({family: {"kind": name, **NEEDED.get(name, {})}})
    filled = spec.model_dump(mode="json")
    assert JobSpec.model_validate(filled) == spec
    assert JobSpec.model_validate_json(spec.model_dump_json()) == spec
    assert filled[family]["kind"] == name


def test_gd_takes_the_whole_set_and_the_others_64_rows() -> None:
    assert JobSpec.model_validate({"optimizer": {"kind": "gd"}}).batch_size == "full"
    assert JobSpec.model_validate({"optimizer": {"kind": "sgd"}}).batch_size == 64


def test_without_held_out_rows_the_training_loss_is_monitored() -> None:
    data = {"kind": "fake", "validation_fraction": 0}
    assert JobSpec.model_validate({"dataset": data}).checkpoints.monitor == "train.loss"
    spec = JobSpec.model_validate({"dataset": data, "checkpoints": {"keep_last": 1}, "early_stopping": {"patience": 2}})
    assert spec.early_stopping is not None
    assert (spec.checkpoints.monitor, spec.early_stopping.monitor) == ("train.loss", "train.loss")
    assert check.faults(spec) == []


@pytest.mark.parametrize(("metric", "mode"), [("val.loss", "min"), ("val.accuracy", "max")])
def test_a_metric_improves_as_its_name_says(metric: str, mode: str) -> None:
    spec = JobSpec.model_validate({"checkpoints": {"monitor": metric}, "early_stopping": {"monitor": metric}})
    assert spec.early_stopping is not None
    assert (spec.checkpoints.mode, spec.early_stopping.mode) == (mode, mode)


@pytest.mark.parametrize(
    ("document", "pointer", "words"),
    [
        ({"model": {"kind": "cnn", "channels": [4] * 9}}, "/model/channels/4", "block 5 pools 1 x 1"),
        ({"model": {"kind": "cnn", "kernel_size": 31, "padding": 0}}, "/model/channels/0", "smaller than kernel_size 31"),
        ({"model": {"kind": "cnn", "kernel_size": 4}}, "/model/padding", "odd kernel_size"),
        ({"model": {"kind": "mlp", "hidden": [16384, 16384]}}, "/model", "parameters"),
        ({"dataset": {"kind": "fake", "height": 3, "width": 28}}, "/model/kind", "3 x 28 is too small"),
        ({"dataset": {"kind": "fake", "targets": "real"}}, "/loss/kind", "use half_mse"),
        ({"dataset": {"kind": "fake", "outputs": 1}}, "/dataset/outputs", "2 classes"),
        ({"dataset": {"kind": "fake", "train_rows": 1_000_000, "height": 200}}, "/dataset", "fewer rows"),
        ({"dataset": {"kind": "fake", "test_rows": 1_000_000, "height": 200}}, "/dataset", "fewer rows"),
        (
            {
                "dataset": {"kind": "fake", "targets": "real", "train_rows": 1_000_000, "outputs": 200, "height": 1, "width": 1},
                "loss": {"kind": "half_mse"},
                "model": {"kind": "linear"},
            },
            "/dataset",
            "fewer rows",
        ),
        ({"dataset": {"kind": "fake", "train_rows": 1}}, "/dataset/validation_fraction", "leaves none to train on"),
        (
            {"dataset": {"kind": "fake", "validation_fraction": 0}, "checkpoints": {"monitor": "val.loss"}},
            "/checkpoints/monitor",
            "monitor train.loss",
        ),
        (
            {"dataset": {"kind": "fake", "validation_fraction": 0}, "early_stopping": {"monitor": "val.loss"}},
            "/early_stopping/monitor",
            "monitor train.loss",
        ),
        ({"optimizer": {"kind": "gd"}, "batch_size": 32}, "/batch_size", "use sgd"),
        ({"schedule": {"kind": "cosine", "warmup_epochs": 11}}, "/schedule/warmup_epochs", "shorten it"),
        ({"penalties": [{"kind": "l1", "lambda": 1, "on": ["conv9"]}]}, "/penalties/0/on/0", "conv1, conv2, fc1, fc2"),
        ({"penalties": [{"kind": "l1", "lambda": 1, "warmup_epochs": 11}]}, "/penalties/0/warmup_epochs", "shorten the warm-up"),
        (
            {"model": {"kind": "resnet18"}, "penalties": [{"kind": "l1", "lambda": 1, "on": ["layer1.0.conv3"]}]},
            "/penalties/0/on/0",
            "did you mean 'layer1.0.conv",
        ),
        ({"penalties": [{"kind": "l1", "lambda": 1}] * 2}, "/penalties/1", "add their lambdas"),
        ({"penalties": [{"kind": "l1", "lambda": 1}, {"kind": "group_lasso", "lambda": 1}]}, "/penalties/1", "use sparse_group"),
        (
            {"dataset": {"kind": "fake", "targets": "real"}, "loss": {"kind": "half_mse"}, "checkpoints": {"monitor": "val.accuracy"}},
            "/checkpoints/monitor",
            "monitor a loss",
        ),
    ],
    ids=lambda value: str(value)[:50],
)
def test_what_cannot_run_is_refused_with_its_place_and_a_remedy(document: dict[str, Any], pointer: str, words: str) -> None:
    found = pointers(document)
    assert pointer in found
    assert words in found[pointer]


@pytest.mark.parametrize(
    "document",
    [
        {"optimizer": {"kind": "adam", "eps": 1e-50}},
        {"optimizer": {"kind": "adadelta", "rho": 0}},
        {"optimizer": {"kind": "schedule_free", "betas": [1e-300, 0.9]}},
        {"loss": {"kind": "gce", "q": 1e-300}},
    ],
    ids=str,
)
def test_a_number_so_small_that_float32_would_divide_by_nothing_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="greater than or equal to"):
        JobSpec.model_validate(document)


@pytest.mark.parametrize(
    "other",
    [{"kind": "group_lasso", "by": "neuron", "lambda": 0.1}, {"kind": "l1", "on": ["norm1"], "lambda": 0.1}],
    ids=["neurons", "norms"],
)
def test_penalties_that_share_no_weights_may_both_be_proximal_whatever_their_on_says(other: dict[str, Any]) -> None:
    filters = {"kind": "group_lasso", "by": "filter", "lambda": 0.1}

    assert pointers({"model": {"kind": "cnn", "norm": "batch"}, "penalties": [filters, other]}) == {}


def test_a_refusal_of_two_proximal_penalties_names_the_layers_they_share() -> None:
    pair = [{"kind": "group_lasso", "by": "input_channel", "lambda": 0.1}, {"kind": "l1", "on": ["fc1"], "lambda": 0.1}]

    assert "(fc1)" in pointers({"penalties": pair})["/penalties/1"]


@pytest.mark.parametrize(
    ("model", "side"),
    [({"kind": "resnet18"}, 8), ({"kind": "cnn", "channels": [2, 2], "norm": "batch", "pool": 1, "padding": 0}, 5)],
    ids=["resnet18", "cnn"],
)
def test_a_batch_of_one_row_is_refused_where_a_norm_would_see_one_pixel_of_it(model: dict[str, Any], side: int) -> None:
    data = {"kind": "fake", "train_rows": 17, "validation_fraction": 0, "height": side, "width": side}
    job = {"model": model, "dataset": data, "batch_size": 16}

    assert "a batch of one row" in pointers(job)["/batch_size"]
    assert pointers({**job, "batch_size": 15}) == pointers({**job, "dataset": data | {"height": side + 1}}) == {}
    assert "/batch_size" in pointers({**job, "dataset": data | {"missing_labels": 0.5}, "batch_size": 1})


def test_penalties_on_different_layers_may_both_be_proximal() -> None:
    one, other, both = ({"kind": "l1", "lambda": 1, "on": layers} for layers in (["conv1"], ["fc1"], ["conv2", "fc1"]))
    assert pointers({"penalties": [one, other]}) == {}
    assert list(pointers({"penalties": [one, other, both]})) == ["/penalties/2"]


def test_a_warm_up_may_last_as_long_as_the_job() -> None:
    assert pointers({"epochs": 3, "schedule": {"kind": "cosine", "warmup_epochs": 3}}) == {}


# Where ours differ on purpose: the docstring of each says why.
OWN_DEFAULTS = {("muon", "betas"), ("lbfgs", "max_iter"), ("lbfgs", "history_size"), ("lbfgs", "line_search_fn")}
LIBRARIES = {"GD": None, "MomentumEMA": None, "SAM": None, "Lion": pytorch_optimizer.Lion, "ScheduleFree": schedulefree.AdamWScheduleFree}


@pytest.mark.parametrize(
    "spec", [kind for kind in kinds("optimizer") if LIBRARIES.get(kind.__name__, "torch")], ids=lambda kind: kind.__name__
)
def test_an_optimizers_fields_are_its_librarys_arguments_with_its_librarys_defaults(spec: type[BaseModel]) -> None:
    theirs = LIBRARIES.get(spec.__name__) or getattr(torch.optim, spec.__name__)
    signature = inspect.signature(theirs).parameters
    kind = spec.model_fields["kind"].default
    for name, field in spec.model_fields.items():
        if name != "kind" and (kind, name) not in OWN_DEFAULTS:
            assert field.default == signature[name].default, name


@given(st.integers(1, 10_000), st.floats(0, 0.999))
def test_asking_for_validation_rows_never_gives_none(rows: int, fraction: float) -> None:
    assert (held_out(rows, fraction) == 0) == (fraction == 0)


@pytest.mark.parametrize("kind", list(get_args(get_args(models.Model)[0])), ids=lambda cls: cls.__name__)
def test_a_network_ends_in_as_many_outputs_as_the_data_has(kind: Any) -> None:
    network = plan.layers(kind(), Shape(channels=3, height=12, width=10, outputs=7, targets="classes"))
    assert network[-1].weight[0] == 7
    assert len({layer.name for layer in network}) == len(network)


def test_a_convolution_knows_the_norm_behind_it() -> None:
    bare, normed = (plan.layers(models.CNN(channels=(4, 5), norm=norm), FASHION) for norm in ("none", "batch"))  # type: ignore[arg-type]
    assert plan.norms_behind(bare) == {}
    assert plan.norms_behind(normed) == {"conv1": "norm1", "conv2": "norm2"}
    assert [layer.name for layer in normed if layer.is_convolution] == ["conv1", "conv2"]


def test_fake_data_says_its_own_shape() -> None:
    assert Fake(channels=2, height=5, width=6, outputs=3).shape() == Shape(2, 5, 6, 3, "classes")

"""A penalty lies on layers that have what it is made of, and what cannot be laid is refused with a remedy."""

from typing import Any

import pytest
from pydantic import ValidationError

from contract.spec import JobSpec, check, laid, plan

CNN = {"kind": "cnn", "channels": [4], "norm": "batch", "hidden": [5]}


def _spec(*penalties: dict[str, Any], **fields: Any) -> JobSpec:
    given = [{"lambda": 1} | penalty if penalty["kind"] != "max_norm" else penalty for penalty in penalties]
    return JobSpec.model_validate({"model": CNN, "penalties": given, **fields})


def _told(spec: JobSpec) -> dict[str, str]:
    return {fault.pointer: fault.message for fault in check.faults(spec)}


@pytest.mark.parametrize(
    ("penalty", "expected"),
    [
        ({"kind": "group_lasso"}, ["conv1"]),
        ({"kind": "sparse_group", "by": "neuron"}, ["fc1", "fc2"]),
        ({"kind": "group_lasso", "by": "input_channel"}, ["conv1", "fc1", "fc2"]),
        ({"kind": "group_lasso", "by": "neuron", "on": ["fc2"]}, ["fc2"]),
        ({"kind": "spectral"}, ["conv1", "fc1", "fc2"]),
        ({"kind": "max_norm", "on": ["fc2", "conv1", "fc2"]}, ["fc2", "conv1"]),
        ({"kind": "mcp", "on": ["norm1"]}, ["norm1"]),
    ],
    ids=str,
)
def test_a_penalty_lies_on_the_layers_that_have_its_groups(penalty: dict[str, Any], expected: list[str]) -> None:
    spec = _spec(penalty)

    assert _told(spec) == {}
    assert [layer.name for layer in laid.layers(spec.penalties[0], plan.layers(spec.model, spec.dataset.shape()))] == expected


@pytest.mark.parametrize(
    ("penalty", "model", "pointer", "words"),
    [
        ({"kind": "group_lasso"}, {"kind": "mlp"}, "/penalties/0/by", "use by 'neuron' or 'input_channel'"),
        ({"kind": "group_lasso", "on": ["conv1", "fc1"]}, CNN, "/penalties/0/on/1", "'fc1' is none; leave it out, or use by 'neuron'"),
        ({"kind": "sparse_group", "by": "neuron", "on": ["conv1"]}, CNN, "/penalties/0/on/0", "use by 'filter'"),
        ({"kind": "group_lasso", "on": "all"}, CNN, "/penalties/0/on", "with_bias true"),
        ({"kind": "group_lasso", "by": "input_channel", "on": "all"}, CNN, "/penalties/0/on", "use on 'weights'"),
        ({"kind": "group_lasso", "by": "input_channel", "on": ["norm1"]}, CNN, "/penalties/0/on/0", "'norm1' is none; leave it out"),
        ({"kind": "orthogonal", "on": "all"}, CNN, "/penalties/0/on", "use on 'weights'"),
        ({"kind": "spectral", "on": ["norm1"]}, CNN, "/penalties/0/on/0", "'norm1' is none"),
        ({"kind": "max_norm", "on": "all"}, CNN, "/penalties/0/on", "use on 'weights'"),
    ],
    ids=str,
)
def test_a_penalty_without_its_groups_is_refused_with_a_remedy(penalty: dict[str, Any], model: Any, pointer: str, words: str) -> None:
    found = _told(_spec(penalty, model=model))

    assert list(found) == [pointer]
    assert words in found[pointer]


@pytest.mark.parametrize(
    ("penalty", "words"),
    [
        ({"kind": "group_lasso", "by": "input_channel", "with_bias": True}, "drop with_bias"),
        ({"kind": "max_norm", "lambda": 1}, "Extra inputs"),
        ({"kind": "mcp", "gamma": 1}, "greater than 1"),
        ({"kind": "scad", "a": 2}, "greater than 2"),
        ({"kind": "elastic_net", "l1_ratio": 1.5}, "less than or equal to 1"),
    ],
    ids=str,
)
def test_a_penalty_outside_its_range_is_refused(penalty: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        JobSpec.model_validate({"penalties": [{"lambda": 1} | penalty]})


def test_a_max_norm_may_stand_beside_a_proximal_penalty_and_two_proximal_ones_may_not() -> None:
    assert _told(_spec({"kind": "max_norm"}, {"kind": "l1"}, {"kind": "max_norm", "on": ["fc1"]})) == {}
    assert "/penalties/1" in _told(_spec({"kind": "mcp"}, {"kind": "elastic_net"}))
    assert _told(_spec({"kind": "group_lasso", "on": ["conv1"]}, {"kind": "group_lasso", "by": "neuron", "on": ["fc1"]})) == {}


def test_a_groups_bias_and_norm_may_lie_under_no_second_proximal_penalty() -> None:
    group, on_norm = {"kind": "group_lasso", "with_bias": True, "on": ["conv1"]}, {"kind": "l1", "on": ["norm1"]}

    assert "drop with_bias" in _told(_spec(group, on_norm))["/penalties/1/on"]
    for apart in (
        (group | {"with_bias": False}, on_norm),
        (group | {"lambda": 0}, on_norm),
        (group, on_norm | {"lambda": 0}),
        (group, on_norm | {"apply": "subgradient"}),
    ):
        assert _told(_spec(*apart)) == {}


def test_a_group_penalty_on_a_layer_that_is_not_there_is_told_so_and_nothing_else() -> None:
    found = _told(_spec({"kind": "group_lasso", "on": ["conv9"]}))

    assert list(found) == ["/penalties/0/on/0"]
    assert "has no layer 'conv9'" in found["/penalties/0/on/0"]

"""What is seldom meant is told, each at its place, and what newcomers are shown is not found fault with."""

from typing import Any

import pytest

from contract.spec import JobSpec, advice, check, plan, size

TUTORIAL = {"optimizer": {"kind": "adam"}, "penalties": [{"kind": "decoupled_decay", "lambda": 1e-2}], "epochs": 10}
SELDOM_MEANT: list[tuple[dict[str, Any], str, str]] = [
    ({"penalties": [{"kind": "l1", "lambda": 0.0}]}, "/penalties/0/lambda", "no_effect"),
    ({"penalties": [{"kind": "l2", "lambda": 50.0}], "optimizer": {"kind": "sgd"}}, "/penalties/0/lambda", "huge_lambda"),
    ({"penalties": [{"kind": "l2", "lambda": 1e-4}]}, "/penalties/0/kind", "adaptive_l2"),
    ({"penalties": [{"kind": "l1", "lambda": 1e-4}]}, "/penalties/0/warmup_epochs", "cold_start"),
    ({"optimizer": {"kind": "adam", "lr": 0.5}}, "/optimizer/lr", "large_lr"),
    ({"dataset": {"kind": "fake", "validation_fraction": 0.0}}, "/checkpoints/monitor", "no_validation"),
    ({"epochs": 2, "checkpoints": {"every_epochs": 3}}, "/checkpoints/every_epochs", "beyond_epochs"),
    ({"epochs": 2, "early_stopping": {"patience": 2}}, "/early_stopping/patience", "beyond_epochs"),
    ({"dataset": {"kind": "fake", "train_rows": 20}, "batch_size": 64}, "/batch_size", "one_step"),
    ({"model": {"kind": "mlp"}, "dataset": {"kind": "builtin", "augment": {"crop": 2}}}, "/dataset/augment/crop", "no_convolution"),
]


def network(spec: JobSpec) -> tuple[plan.Layer, ...]:
    return plan.layers(spec.model, spec.dataset.shape())


@pytest.mark.parametrize(("document", "pointer", "code"), SELDOM_MEANT, ids=[case[2] for case in SELDOM_MEANT])
def test_what_is_seldom_meant_is_told_of_a_spec_that_has_no_faults(document: dict[str, Any], pointer: str, code: str) -> None:
    spec = JobSpec.model_validate(document)
    assert check.faults(spec) == []
    assert [(told.pointer, told.code) for told in advice.warnings(spec)] == [(pointer, code)]


@pytest.mark.parametrize("document", [{}, TUTORIAL], ids=["empty", "tutorial"])
def test_a_usual_job_has_no_warnings(document: dict[str, Any]) -> None:
    assert advice.warnings(JobSpec.model_validate(document)) == []


@pytest.mark.parametrize(
    ("fields", "copies"),
    [
        ({"optimizer": {"kind": "sgd"}}, 0), ({"optimizer": {"kind": "sgd", "momentum": 0.9}}, 1), ({}, 2),
        ({"optimizer": {"kind": "adam", "amsgrad": True}}, 3), ({"optimizer": {"kind": "sam"}}, 3), ({"averaging": {"kind": "ema"}}, 3),
        ({"optimizer": {"kind": "lbfgs"}}, 23),
    ],
    ids=str,
)  # fmt: skip
def test_memory_counts_what_the_optimizer_remembers(fields: dict[str, Any], copies: int) -> None:
    spec = JobSpec.model_validate(fields)
    found = size.memory(spec, network(spec))
    assert (found.weights, found.gradients, found.optimizer) == (421_642 * 4, 421_642 * 4, copies * 421_642 * 4)
    assert found.total == found.weights + found.gradients + found.optimizer + found.activations


def test_activations_are_those_of_every_layer_for_the_rows_of_a_step() -> None:
    spec = JobSpec.model_validate({"batch_size": 10})
    # The image, two convolutions before their pools, and two linear layers.
    assert size.memory(spec, network(spec)).activations == 2 * 10 * 4 * (784 + 32 * 784 + 64 * 196 + 128 + 10)
    double = JobSpec.model_validate({"batch_size": 10, "precision": "float64"})
    assert size.memory(double, network(double)).activations == 2 * size.memory(spec, network(spec)).activations

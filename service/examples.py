"""Which specs the description shows: a quick one, the least, the whole, and one of each kind."""

from collections.abc import Iterator
from functools import cache
from typing import Any, Final, get_args

from contract.spec import datasets, losses, models, optimizers, penalties, schedules
from contract.spec.base import Spec

Json = dict[str, Any]

FAMILIES: Final = {
    "dataset": datasets.Dataset,
    "model": models.Model,
    "loss": losses.Loss,
    "optimizer": optimizers.Optimizer,
    "schedule": schedules.Schedule,
    "penalties": penalties.Penalty,
}
"""By the field of the spec; each a union told apart by `kind`."""

QUICK_SPEC: Final[Json] = {
    "name": "quick",
    "dataset": {"kind": "fake", "train_rows": 600, "test_rows": 100, "height": 12, "width": 12},
    "model": {"kind": "cnn", "channels": [8], "hidden": [16]},
    "optimizer": {"kind": "adam"},
    "penalties": [{"kind": "l1", "lambda": 1e-4}, {"kind": "l2", "lambda": 5e-4}],
    "epochs": 3,
}
MINIMAL_SPEC: Final[Json] = {"optimizer": {"kind": "adam"}, "penalties": [{"kind": "l2", "lambda": 5e-4}], "epochs": 10}
FULL_SPEC: Final[Json] = {
    "name": "fashion-l1",
    "metadata": {"team": "vision"},
    "dataset": {"kind": "builtin", "name": "fashion_mnist", "validation_fraction": 0.1},
    "model": {"kind": "tutorial_cnn"},
    "loss": {"kind": "cross_entropy", "label_smoothing": 0.0},
    "optimizer": {"kind": "adam", "lr": 1e-3, "betas": [0.9, 0.999], "eps": 1e-8, "amsgrad": False},
    "schedule": {"kind": "cosine", "warmup_epochs": 1, "min_factor": 0.01},
    "penalties": [
        {"kind": "l1", "lambda": 1e-5, "apply": "proximal", "on": "weights", "warmup_epochs": 1},
        {"kind": "l2", "lambda": 5e-4, "on": ["fc1", "fc2"]},
    ],
    "epochs": 10,
    "batch_size": 64,
    "seed": 0,
    "precision": "auto",
    "deterministic": False,
    "early_stopping": {"monitor": "val.loss", "mode": "min", "patience": 5, "min_delta": 0.0},
    "tolerance": {"gradient_mapping": 1e-3},
    "averaging": {"kind": "ema", "decay": 0.999},
    "polish": {"epochs": 2, "lr": 1e-4},
    "checkpoints": {"every_epochs": 1, "keep_last": 2, "keep_best": 1, "monitor": "val.loss", "mode": "min"},
    "limits": {"max_runtime_seconds": 3600, "max_queue_seconds": 86400},
    "init_from": None,
    "device": "auto",
    "priority": 0,
}

DATASET_ID: Final = "ds_01kaj3t0a1b2c3d4e5f6g7h8j9"
_NEEDED: Final[Json] = {"lambda": 1e-4, "id": DATASET_ID}
"""What has no default."""


def specs() -> Iterator[tuple[str, str, Json]]:
    """Name, summary and document of the specs that a submission is shown with: a quick one, the least, the whole, and one of each kind."""
    # The first is what the docs page submits when it is tried out: it must end while somebody watches.
    yield "quick", "A job of seconds, on made-up data", QUICK_SPEC
    yield "minimal", "What a newcomer needs", MINIMAL_SPEC
    yield "full", "Every field", FULL_SPEC
    for family, union in FAMILIES.items():
        for member in members(union):
            shown = kind(member)
            spec = {family: [shown] if family == "penalties" else shown}
            yield f"{family}_{shown['kind']}", _first_sentence(member), spec


def members(family: Any) -> tuple[type[Spec], ...]:
    """The classes of a union that is told apart by `kind`."""
    union, *_ = get_args(family)
    return get_args(union)


@cache
def kind(member: type[Spec]) -> Json:
    """A kind with every field that it has, at its default where there is one."""
    needed = [field.alias or name for name, field in member.model_fields.items() if field.is_required()]
    return member.model_validate({name: _NEEDED[name] for name in needed}).model_dump(mode="json")


def _first_sentence(member: type[Spec]) -> str:
    return " ".join((member.__doc__ or "").split()).split(". ")[0].rstrip(".")

"""The small jobs that storms train: a second or two each, a checkpoint several times a second, each with state of another sort to lose."""

from types import MappingProxyType
from typing import Final

from tests.up import Json

_DATA: Final[Json] = {"kind": "fake", "train_rows": 400, "test_rows": 40, "height": 12, "width": 12, "outputs": 4}
_MODEL: Final[Json] = {"kind": "cnn", "channels": [6], "hidden": [12]}
_BASE: Final[Json] = {"dataset": _DATA, "model": _MODEL, "epochs": 12, "batch_size": 64}

KINDS: Final = MappingProxyType({
    "momentum": {**_BASE, "optimizer": {"kind": "sgd", "lr": 0.05, "momentum": 0.9}},
    "adam with l1": {**_BASE, "optimizer": {"kind": "adam"}, "penalties": [{"kind": "l1", "lambda": 1e-3}]},
    "ema": {**_BASE, "optimizer": {"kind": "sgd", "lr": 0.05}, "averaging": {"kind": "ema", "decay": 0.99}},
    "augmented": {
        **_BASE,
        "optimizer": {"kind": "sgd", "lr": 0.05, "momentum": 0.9},
        "dataset": {**_DATA, "augment": {"flip": 0.5, "crop": 2, "erase": 0.3}},
    },
    "bfloat16": {**_BASE, "optimizer": {"kind": "adam"}, "precision": "bfloat16"},
    "dropout and batch norm": {**_BASE, "optimizer": {"kind": "adam"}, "model": {**_MODEL, "norm": "batch", "dropout": 0.3}},
})  # fmt: skip
"""By name; `l1` is applied by its proximal step after adam's, as by default."""

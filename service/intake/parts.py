"""What every format is read into: rows to train on, their targets, and the same to test on where the upload brings them."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Parts:
    """As found, before any check of their meaning. Arrays lie in files and are read as they are looked at."""

    format: str
    """`npz`, `idx` or `images`."""
    names: dict[str, str]
    """What the upload calls each array, by `x_train`, `y_train`, `x_test` and `y_test`."""
    arrays: dict[str, np.ndarray]
    """By the same; the last two may be missing."""
    classes: list[str] | None = None
    """Names of the classes, where the upload has them."""

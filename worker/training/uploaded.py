"""What an uploaded data set holds: the arrays that the service checked and wrote, in a folder that the worker brought here."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from contract.spec import datasets
from worker.training.faults import DataInvalidError
from worker.training.rows import Raw


def read(dataset: datasets.Uploaded, folder: Path | None) -> Raw:
    """The set, without test rows where it brings none. Raises DataInvalidError unless it has the shape that the spec was checked with."""
    known = dataset.resolved
    if folder is None or known is None:
        raise DataInvalidError(
            f"data set {dataset.id} was not brought to this trainer", "Submit the job to the service it was uploaded to."
        )
    parts = {name: _load(folder / f"{name}.npy") for name in ("x_train", "y_train", "x_test", "y_test")}
    train_images, train_targets = parts["x_train"], parts["y_train"]
    if train_images is None or train_targets is None or tuple(train_images.shape[1:]) != (known.channels, known.height, known.width):
        raise DataInvalidError(f"data set {dataset.id} has another shape than its spec says", "Submit the job anew.")
    test_images, test_targets = parts["x_test"], parts["y_test"]
    return Raw(
        source="uploaded",
        sha256=known.sha256,
        train_images=train_images,
        train_targets=train_targets,
        test_images=train_images[:0] if test_images is None else test_images,
        test_targets=train_targets[:0] if test_targets is None else test_targets,
    )


def _load(path: Path) -> Tensor | None:
    return torch.from_numpy(np.load(path, allow_pickle=False)) if path.exists() else None

"""What every program of a comparison learns: the same images, network, batch size, optimizer and epochs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks import machine
from contract.spec import JobSpec
from worker.training import datasets

BATCH = 64
LR = 1e-3
MEAN, STD = 0.2860, 0.3530
"""Of Fashion-MNIST's pixels in [0, 1], as programs that standardise it say."""


@dataclass(frozen=True)
class Lesson:
    """Images are bytes [n, 1, 28, 28], targets classes [n]; both on the CPU, as a data set is found."""

    spec: JobSpec
    """For Ridgeline: everything that the peers are told by the fields below."""
    train_images: Tensor
    train_targets: Tensor
    test_images: Tensor
    test_targets: Tensor
    device: torch.device = torch.device("cpu")  # noqa: RUF009 - a value that nobody can change

    @property
    def epochs(self) -> int:
        return self.spec.epochs

    @property
    def seed(self) -> int:
        return self.spec.seed

    @property
    def samples(self) -> int:
        """Rows that are trained in all epochs."""
        return self.epochs * len(self.train_targets)

    def accuracy(self, predict: Callable[[Tensor], Tensor]) -> float:
        """Share of the test rows whose class `predict` (standardised images to logits) gives the largest value."""
        right = 0
        with torch.no_grad():
            for images, targets in zip(torch.split(self.test_images, 1000), torch.split(self.test_targets, 1000), strict=True):
                right += int((predict(standardised(images.to(self.device))).argmax(1).cpu() == targets).sum())
        return right / len(self.test_targets)


@dataclass(frozen=True)
class Outcome:
    """What came of a training."""

    samples: int
    seconds: float
    """From the first step to the end of the last epoch; loading, building and testing left out."""
    accuracy: float
    """On the test rows."""

    @property
    def speed(self) -> float:
        """Samples a second."""
        return self.samples / self.seconds


def fashion(epochs: int, device: str = "cpu") -> Lesson:
    """Fashion-MNIST as this machine has it, every training row: the whole set, or the subset that is shipped."""
    return _lesson({"kind": "builtin"}, epochs, device)


def fake(rows: int, epochs: int = 1, device: str = "cpu") -> Lesson:
    """Drawn images of the same shape, for warming up and for trying out."""
    return _lesson({"kind": "fake", "train_rows": rows, "test_rows": 64}, epochs, device)


def standardised(images: Tensor) -> Tensor:
    """Bytes as the numbers that a network takes."""
    return images.float().div_(255).sub_(MEAN).div_(STD)


def _lesson(dataset: dict[str, Any], epochs: int, device: str) -> Lesson:
    torch.set_num_threads(machine.threads())
    spec = JobSpec.model_validate(
        {
            "dataset": dataset | {"validation_fraction": 0.0},
            "optimizer": {"kind": "adam", "lr": LR},
            "batch_size": BATCH,
            "epochs": epochs,
            "device": device,
        }
    )
    raw, _ = datasets.load(spec.dataset)
    return Lesson(spec, raw.train_images, raw.train_targets, raw.test_images, raw.test_targets, torch.device(device))

"""Lightning's Trainer with the same network. It is given tensors that are standardised already, and told to log and save nothing."""

import logging
import warnings
from time import perf_counter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from benchmarks import lessons, peers
from benchmarks.lessons import Lesson, Outcome
from benchmarks.peers.network import Network

NAME = "Lightning"


def absent() -> str | None:
    """It comes with the extra `bench`."""
    return peers.missing("pytorch_lightning")


def train(lesson: Lesson) -> Outcome:
    """`Trainer.fit`, its own beginning and end left out."""
    import pytorch_lightning as lightning

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)

    class Module(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = Network()
            self.began = self.ended = 0.0

        def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
            images, targets = batch
            return F.cross_entropy(self.network(images), targets)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=lessons.LR)

        def on_train_start(self) -> None:
            self.began = perf_counter()

        def on_train_end(self) -> None:
            self.ended = perf_counter()

    torch.manual_seed(lesson.seed)
    data = TensorDataset(lessons.standardised(lesson.train_images), lesson.train_targets)
    module = Module()
    with warnings.catch_warnings():
        # Advice on DataLoader workers, which on data in memory are slower.
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(max_epochs=lesson.epochs, accelerator="cpu", **_QUIET)
        trainer.fit(module, DataLoader(data, batch_size=lessons.BATCH, shuffle=True))
    return Outcome(lesson.samples, module.ended - module.began, lesson.accuracy(module.network.eval()))


_QUIET: dict[str, Any] = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}

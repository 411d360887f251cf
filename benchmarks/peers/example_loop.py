"""A plain loop in the style of PyTorch's own MNIST example: a DataLoader that makes a PIL image, a tensor and a standardised tensor
of each row each time, float32, the loss printed every ten steps."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks import lessons
from benchmarks.lessons import Lesson, Outcome
from benchmarks.peers.network import Network

NAME = "example-style loop"
_LOG_EVERY = 10


class _Images(Dataset[tuple[Tensor, int]]):
    """As torchvision's MNIST gives rows out."""

    def __init__(self, lesson: Lesson) -> None:
        self.images = lesson.train_images[:, 0]
        self.targets = lesson.train_targets
        self.transform = _transform()

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        return self.transform(self.images[row]), int(self.targets[row])


def absent() -> None:
    """It needs nothing but torch."""


def train(lesson: Lesson) -> Outcome:
    """Its epochs one after another."""
    torch.manual_seed(lesson.seed)
    model = Network().to(lesson.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=lessons.LR)
    loader = DataLoader(_Images(lesson), batch_size=lessons.BATCH, shuffle=True, **_as_the_example_has_it(lesson.device))
    began = perf_counter()
    for _ in range(lesson.epochs):
        _epoch(model, loader, optimizer, lesson.device)
    if lesson.device.type == "cuda":
        torch.cuda.synchronize()
    return Outcome(lesson.samples, perf_counter() - began, lesson.accuracy(model.eval()))


def _epoch(model: Network, loader: DataLoader[tuple[Tensor, int]], optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    model.train()
    for step, batch in enumerate(loader):
        images, targets = (part.to(device) for part in batch)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % _LOG_EVERY == 0:
            loss.item()  # what it prints


def _as_the_example_has_it(device: torch.device) -> dict[str, Any]:
    return {"num_workers": 1, "pin_memory": True, "persistent_workers": True} if device.type == "cuda" else {}


def _transform() -> Callable[[Tensor], Tensor]:
    """From bytes [28, 28] to a standardised image [1, 28, 28]. On a machine without torchvision by torch alone, which is faster."""
    try:
        from PIL import Image
        from torchvision import transforms
    except ImportError:
        return lambda image: lessons.standardised(image.unsqueeze(0))
    made = transforms.Compose([transforms.ToTensor(), transforms.Normalize((lessons.MEAN,), (lessons.STD,))])
    return lambda image: made(Image.fromarray(image.numpy()))

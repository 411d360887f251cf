"""The best loop that we can write by hand for this one network: tensors standardised once and resident, channels_last, the ReLU after
the pool, fused Adam, bfloat16 where the device gains from it. No penalties, no checks, no checkpoints, nothing that can be asked for."""

from time import perf_counter

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import lessons
from benchmarks.lessons import Lesson, Outcome
from benchmarks.peers.network import PoolsFirst
from worker.training import precision

NAME = "hand-written loop"


class Loop:
    """The loop, some steps at a time."""

    def __init__(self, lesson: Lesson) -> None:
        torch.manual_seed(lesson.seed)
        self.model = PoolsFirst().to(lesson.device).to(memory_format=torch.channels_last)
        self.loss = torch.zeros((), device=lesson.device)
        """The sum over the rows of the epoch, read once it is over: a loop that nobody can follow is no loop that is used."""
        # As the engine decides it, so that both compute in the same numbers.
        self._chosen = precision.choose("auto", lesson.device)
        self._device = lesson.device
        self._optimizer = torch.optim.Adam(self.model.parameters(), lr=lessons.LR, fused=True)
        self._images_NHWC = lessons.standardised(lesson.train_images.to(lesson.device)).permute(0, 2, 3, 1).contiguous()
        self._targets = lesson.train_targets.to(lesson.device)
        self._waiting: list[Tensor] = []

    def take(self, steps: int) -> float:
        """Seconds that so many more steps take."""
        began = perf_counter()
        for _ in range(steps):
            self._step()
        return perf_counter() - began

    def _step(self) -> None:
        if not self._waiting:
            self.loss.zero_()
            self._waiting = list(torch.split(torch.randperm(len(self._targets), device=self._device), lessons.BATCH))
        rows = self._waiting.pop()
        with precision.autocast(self._chosen, self._device):
            loss = F.cross_entropy(self.model(self._images_NHWC[rows].permute(0, 3, 1, 2)), self._targets[rows])
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self.loss += loss.detach() * len(rows)


def absent() -> None:
    """It needs nothing but torch."""


def train(lesson: Lesson) -> Outcome:
    """Its epochs one after another, the mean loss of each read at its end."""
    loop = Loop(lesson)
    seconds = 0.0
    for _ in range(lesson.epochs):
        began = perf_counter()
        loop.take(-(-len(lesson.train_targets) // lessons.BATCH))
        loop.loss.item()
        seconds += perf_counter() - began
    return Outcome(lesson.samples, seconds, lesson.accuracy(loop.model.eval()))

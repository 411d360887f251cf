"""What a run is made of: the torch objects a spec became, and where the run stands."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor, nn, optim

from contract import events
from contract.spec import JobSpec, plan
from worker.training import precision, schedules
from worker.training.datasets import Data
from worker.training.latch import Latch
from worker.training.losses import Loss
from worker.training.optimizers.metric import Metric
from worker.training.penalties.term import Term
from worker.training.standing import Standing


class Stopwatch:
    """Seconds by purpose, and training rows, of this attempt."""

    def __init__(self) -> None:
        self.seconds = {"load": 0.0, "train": 0.0, "evaluate": 0.0, "checkpoint": 0.0}
        self.rows = 0

    @contextmanager
    def measure(self, purpose: str) -> Iterator[None]:
        """Add the seconds that the block takes to its purpose."""
        start = perf_counter()
        try:
            yield
        finally:
            self.seconds[purpose] += perf_counter() - start


@dataclass
class Totals:
    """Sums over rows, kept on the device so that a step need not wait for them."""

    loss: Tensor
    correct: Tensor

    @classmethod
    def zero(cls, device: torch.device) -> "Totals":
        """Nothing added up yet; the sum is in float64, on the device."""
        return cls(torch.zeros((), dtype=torch.float64, device=device), torch.zeros((), dtype=torch.int64, device=device))

    def add(self, other: "Totals") -> None:
        self.loss += other.loss
        self.correct += other.correct


@dataclass
class Run:
    """A job under way. Whenever `fit` yields, it is at a step boundary and may be saved."""

    spec: JobSpec
    machine: events.Machine
    device: torch.device
    scratch: Path
    data: Data
    network: tuple[plan.Layer, ...]
    model: nn.Module
    named: dict[str, nn.Parameter]
    """The model's parameters by name."""
    loss: Loss
    optimizer: optim.Optimizer
    metric: Metric
    """Of the optimizer's last step."""
    terms: list[Term]
    totals: Totals
    """Over the rows of the epoch under way."""
    latch: Latch
    """Shut by the first step that is not finite."""
    average: dict[str, Tensor] = field(default_factory=dict)
    """The moving average of the parameters and real buffers by name, where the job asks for one."""
    standing: Standing = field(default_factory=Standing)
    watch: Stopwatch = field(default_factory=Stopwatch)
    warnings: list[str] = field(default_factory=list)
    recorded: Callable[[Tensor], Totals] | None = None
    """The gradient of a whole batch from its rows' numbers, once it has been recorded."""
    held_buffers: dict[str, Tensor] = field(default_factory=dict)
    """The model's buffers, and under SAM its weights, as they were at the last step boundary, while a full-batch gradient is being
    accumulated."""

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of one epoch; the last may be of a smaller batch."""
        return 1 if self.spec.batch_size == "full" else ceil(len(self.data.train) / self.spec.batch_size)

    @property
    def steps(self) -> int:
        """Of the whole job, if nothing stops it early."""
        start, polish = self.standing.polished_from, self.spec.polish
        epochs = self.spec.most_epochs if start is None or polish is None else start + polish.epochs
        return epochs * self.steps_per_epoch

    @property
    def first_step(self) -> int:
        """Steps done when the present phase began: 0, or those before the polish."""
        return (self.standing.polished_from or 0) * self.steps_per_epoch

    @property
    def step(self) -> int:
        """Steps done in the whole job."""
        return self.standing.epoch * self.steps_per_epoch + self.standing.batch

    @property
    def epoch_rows(self) -> int:
        """Training rows gone through in the epoch under way."""
        rows = len(self.data.train)
        return rows * self.standing.batch if self.spec.batch_size == "full" else min(self.standing.batch * self.spec.batch_size, rows)

    @property
    def is_over(self) -> bool:
        return self.standing.is_over(self.spec)

    @property
    def has_classes(self) -> bool:
        """Whether targets are classes, so that there is an accuracy; else real numbers."""
        return self.spec.dataset.shape().targets == "classes"

    def lr(self, step: int) -> float:
        """The learning rate of step number `step`, from 0. That of polish falls linearly, its last step at 1/steps of its first."""
        if self.spec.polish is not None and self.standing.polished_from is not None and step >= self.first_step:
            top = self.spec.polish.lr or self.spec.optimizer.lr / 10
            return top * (self.steps - step) / (self.steps - self.first_step)
        steps = self.spec.epochs * self.steps_per_epoch
        return self.spec.optimizer.lr * schedules.factor(self.spec.schedule, step, steps, self.steps_per_epoch, self.standing.plateau)

    def autocast(self) -> AbstractContextManager[object]:
        """Within this, the forward pass has the precision that the job was given."""
        return precision.autocast(self.machine.precision, self.device)

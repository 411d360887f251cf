"""Which rows each step of an epoch takes: drawn by a generator keyed by (seed, epoch), so that there is no state to save."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from worker.training import keys
from worker.training.run import Run

# Rows in one forward pass where the batch does not decide it: below 0.1 s on two CPU cores, so that a stop is heard in time, and
# below the 32 MB from which the allocator would take fresh pages for every activation.
CHUNK = 256

Order = Sequence[Tensor]
"""The row numbers of each step of an epoch."""


def order(run: Run) -> Order | None:
    """The rows of each step of the epoch under way; None where a step takes them all."""
    if run.spec.batch_size == "full":
        return None
    order = torch.randperm(len(run.data.train), generator=keys.generator(run.spec.seed, "order", run.standing.epoch))
    return torch.split(order.to(run.device), run.spec.batch_size)


def take(run: Run, order: Order) -> tuple[Tensor, Tensor]:
    """Images [b, channels, height, width] and targets of the step that is due."""
    return run.data.train.take(order[run.standing.batch])


def parts(run: Run) -> Iterator[tuple[Tensor, Tensor, float]]:
    """The whole training set in parts of `CHUNK` rows: images, targets, and the part's share of all rows."""
    rows = len(run.data.train)
    for start in range(0, rows, CHUNK):
        end = min(start + CHUNK, rows)
        yield *run.data.train.between(start, end), (end - start) / rows

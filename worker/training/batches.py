"""Which rows each step of an epoch takes, and how augmented: drawn by generators keyed by (seed, epoch), so that no state is saved."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.training import augment, keys
from worker.training.run import Run

# Rows in one forward pass where the batch does not decide it: below 0.1 s on two CPU cores, so that a stop is heard in time, and
# below the 32 MB from which the allocator would take fresh pages for every activation.
CHUNK = 256


@dataclass(frozen=True)
class Order:
    """The row numbers of each step of an epoch, and what the epoch does to each row of the training set."""

    steps: Sequence[Tensor]
    draws: augment.Draws | None


def order(run: Run) -> Order | None:
    """The rows of each step of the epoch under way; None where a step takes them all."""
    if run.spec.batch_size == "full":
        return None
    order = torch.randperm(len(run.data.train), generator=keys.generator(run.spec.seed, "order", run.standing.epoch))
    return Order(torch.split(order.to(run.device), run.spec.batch_size), _draws(run))


def take(run: Run, order: Order) -> tuple[Tensor, Tensor]:
    """Images [b, channels, height, width] and targets of the step that is due; the same however often a step asks."""
    return run.data.train.take(order.steps[run.standing.batch], order.draws)


def parts(run: Run) -> Iterator[tuple[Tensor, Tensor, float]]:
    """The whole training set in parts of `CHUNK` rows: images, targets, and the part's share of all rows."""
    train, draws = run.data.train, _draws(run)
    # The last part takes along a row that would be alone, whose channels batch norm could not scale by a variance.
    starts = range(0, max(len(train) - 1, 1), CHUNK)
    for start in starts:
        end = len(train) if start == starts[-1] else start + CHUNK
        # Rows as they are lie side by side and need no copy.
        part = train.take(torch.arange(start, end, device=run.device), draws) if draws else train.between(start, end)
        yield *part, (end - start) / len(train)


def _draws(run: Run) -> augment.Draws | None:
    asked = run.spec.dataset.augment
    if asked is None:
        return None
    _, height, width = run.data.train.image
    draws = augment.draw(asked, len(run.data.train), height, width, seed=run.spec.seed, epoch=run.standing.epoch)
    return draws.to(run.device)

"""What gradient of the data loss a step takes: over which rows, and for SAM at which weights."""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

import torch

from contract.spec import optimizers
from worker.training import batches, captured, keys, models, objective, penalties, polish
from worker.training.optimizers import sam
from worker.training.run import Run, Totals
from worker.training.said import TICK, Said


def take(run: Run, order: batches.Order | None) -> Generator[Said, None, Totals]:
    """Leaves the step's gradient in each `.grad`. Returns the rows' sums at the weights before the step.

    Yields only between the parts of a full-batch gradient; a checkpoint taken there shows the step boundary before it.
    """
    if order is None:
        # Batch norm moves its running means with every part.
        run.held_buffers = {name: buffer.clone() for name, buffer in run.model.named_buffers()}
    sums = yield from _mean(run, order)
    if isinstance(run.spec.optimizer, optimizers.SAM):
        yield from _sharpest(run, order, run.spec.optimizer.rho)
    return sums


def search(run: Run, sums: Totals) -> Callable[[], float]:
    """What a line search asks for: the full-batch objective, penalties with it, and in each `.grad` its gradient, at trial weights.

    The first call is for the weights whose data loss `sums` and whose whole gradient are there already.
    """
    step, first = run.step, True

    def evaluate() -> float:
        nonlocal first
        found = sums
        if not first:
            with _statistics_kept(run):
                found = _last(_mean(run, None))
            penalties.add_gradients(run.terms, step)
        first = False
        for parameter in run.named.values():
            # L-BFGS lays all gradients end to end, in the plain order of the weights whatever their layout.
            parameter.grad = None if parameter.grad is None else parameter.grad.contiguous()
        return float(found.loss) / len(run.data.train) + sum(penalties.values(run.terms, step).values())

    return evaluate


def _mean(run: Run, order: batches.Order | None) -> Generator[Said, None, Totals]:
    """The gradient of the mean data loss over the rows of `order` that are due, or over all of them in parts."""
    with run.watch.measure("train"):
        if models.dropout(run.spec.model) > 0:
            # Keyed by the step, so that a resumed run, and each evaluation within a step, draws the same zeros without a saved state.
            torch.manual_seed(keys.derive(run.spec.seed, "dropout", run.step))
        run.model.zero_grad(set_to_none=True)
        if order is not None:
            return _batch(run, order)
    sums = Totals.zero(run.device)
    for index, (images, targets, share) in enumerate(batches.parts(run)):
        if index:
            yield TICK
        with run.watch.measure("train"):
            sums.add(objective.backward(run, images, targets, share=share))
    return sums


def _batch(run: Run, order: batches.Order) -> Totals:
    indices = order.steps[run.standing.batch]
    if len(indices) == run.spec.batch_size:
        run.recorded = run.recorded or captured.of(run)
        if run.recorded:
            return run.recorded(indices)
    return objective.backward(run, *batches.take(run, order))


def _sharpest(run: Run, order: batches.Order | None, rho: float) -> Generator[Said, None, None]:
    """The gradient over the same rows where the loss is sharpest beside the weights, in place of the one at the weights."""
    polish.mask_gradients(run)
    with sam.ascended(list(run.named.values()), rho) as kept, _statistics_kept(run):
        if order is None:
            run.held_buffers |= dict(zip(run.named, kept, strict=True))
        yield from _mean(run, order)


@contextmanager
def _statistics_kept(run: Run) -> Iterator[None]:
    """While inside, batch norm may move its running statistics, and afterwards they are what they were."""
    buffers = list(run.model.buffers())
    kept = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        for buffer, value in zip(buffers, kept, strict=True):
            buffer.copy_(value)


def _last(said: Generator[Said, None, Totals]) -> Totals:
    """What a generator returns, its words unheard: a line search cannot be left halfway."""
    while True:
        try:
            next(said)
        except StopIteration as end:
            sums: Totals = end.value
            return sums

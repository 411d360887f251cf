"""What one optimizer step is: gradient of the mean data loss, penalties, check, step, proximal maps."""

from collections.abc import Iterator

from worker.training import averaging, batches, finite, gradient, optimizers, penalties
from worker.training.run import Run, Totals
from worker.training.said import Said


def take(run: Run, order: batches.Order | None) -> Iterator[Said]:
    """One optimizer step. Yields only between the parts of a full-batch gradient."""
    step, lr = run.step, run.lr(run.step)
    sums = yield from gradient.take(run, order)
    with run.watch.measure("train"):
        penalties.add_gradients(run.terms, step)
        finite.check(run, sums.loss)
        optimizers.set_lr(run.optimizer, lr)
        penalties.decay(run.terms, step, lr)
        optimizers.step(run.optimizer, gradient.search(run, sums))
        penalties.shrink(run.terms, step, lr, run.metric)
        averaging.update(run)
        _count(run, sums)


def _count(run: Run, sums: Totals) -> None:
    """The step is done: its rows' sums join those of the epoch."""
    rows = run.epoch_rows
    run.totals.add(sums)
    run.held_buffers = {}
    run.standing.batch += 1
    run.watch.rows += run.epoch_rows - rows

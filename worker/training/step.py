"""What one optimizer step is: gradient of the mean data loss, penalties, check, step, proximal maps."""

from collections.abc import Generator, Iterator

import torch

from worker.training import averaging, batches, finite, keys, models, objective, optimizers, penalties
from worker.training.run import Run, Totals
from worker.training.said import TICK, Said


def take(run: Run, order: batches.Order | None) -> Iterator[Said]:
    """One optimizer step. Yields only between the parts of a full-batch gradient."""
    step = run.step
    lr = run.lr(step)
    with run.watch.measure("train"):
        if models.dropout(run.spec.model) > 0:
            # Keyed by the step, so that a resumed run draws the same zeros without a saved state.
            torch.manual_seed(keys.derive(run.spec.seed, "dropout", step))
        run.optimizer.zero_grad(set_to_none=True)
    if order is None:
        sums = yield from _accumulate(run)
    else:
        with run.watch.measure("train"):
            sums = objective.backward(run, *batches.take(run, order))
    with run.watch.measure("train"):
        penalties.add_gradients(run.terms, step)
        finite.check(run, sums.loss)
        optimizers.set_lr(run.optimizer, lr)
        penalties.decay(run.terms, step, lr)
        run.optimizer.step()
        penalties.shrink(run.terms, step, lr, run.metric)
        rows = run.epoch_rows
        run.totals.add(sums)
        run.held_buffers = {}
        averaging.update(run)
        run.standing.batch += 1
        run.watch.rows += run.epoch_rows - rows


def _accumulate(run: Run) -> Generator[Said, None, Totals]:
    """The gradient of the mean loss over the whole training set, part by part, each weighted by its rows."""
    # Batch norm moves its running means with every part; a checkpoint taken in between must not show that.
    run.held_buffers = {name: buffer.clone() for name, buffer in run.model.named_buffers()}
    sums = Totals.zero(run.device)
    for index, (images, targets, share) in enumerate(batches.parts(run)):
        if index:
            yield TICK
        with run.watch.measure("train"):
            sums.add(objective.backward(run, images, targets, share=share))
    return sums

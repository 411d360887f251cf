"""How a run is trained: a generator of what it has to say, which its caller may leave, save or end at any yield."""

from collections.abc import Generator, Iterator
from time import monotonic

import torch
from torch import Tensor

from contract import events
from worker.training import batches, checkpoint, objective, precision, report, schedules, step
from worker.training.rows import Rows
from worker.training.run import Run, Totals
from worker.training.said import TICK, Said

_REPORT_SECONDS = 0.5


def fit(run: Run) -> Iterator[Said]:
    """Trains from where `run` stands to its end: Started first, then a yield after every step, Finished last.

    Whenever it yields, `run` is at a step boundary and `checkpoint.write` may be called. Raises DivergedError, and OSError
    where a checkpoint cannot be written.
    """
    with precision.algorithms(deterministic=run.spec.deterministic):
        yield report.started(run)
        yield from (events.Warned(message=message) for message in run.warnings)
        while run.standing.checkpoint_due or not run.is_over:
            if run.standing.checkpoint_due:
                yield checkpoint.write(run)
            else:
                yield from _epoch(run)
        totals, confusion = yield from _evaluate(run, run.data.test, confusion=run.has_classes)
        test = report.means("test", totals, len(run.data.test), has_classes=run.has_classes)
        yield events.Finished(result=report.result(run, test, confusion))


def _epoch(run: Run) -> Iterator[Said]:
    started, pace = monotonic(), _Pace(run)
    order = batches.order(run)
    run.model.train()
    while run.standing.batch < run.steps_per_epoch:
        yield from step.take(run, order)
        yield pace.progress(run) if pace.is_due() else TICK
    objective.check_weights(run)
    metrics = report.epoch(run, pace.rows_per_second(run))
    if run.data.validation is not None:
        totals, _ = yield from _evaluate(run, run.data.validation)
        metrics |= report.means("val", totals, len(run.data.validation), has_classes=run.has_classes)
    run.standing.close_epoch(metrics, run.spec.checkpoints, run.spec.early_stopping, run.spec.epochs)
    run.standing.plateau = schedules.watch(run.spec.schedule, run.standing.plateau, metrics)
    run.totals = Totals.zero(run.device)
    yield events.EpochDone(epoch=run.standing.epoch, step=run.step, metrics=metrics, seconds=monotonic() - started)


def _evaluate(run: Run, rows: Rows, *, confusion: bool = False) -> Generator[Said, None, tuple[Totals, Tensor | None]]:
    """Sums of loss and right answers over `rows`, and if asked the counts [true class, predicted class]."""
    outputs = run.spec.dataset.shape().outputs
    totals, counts = Totals.zero(run.device), torch.zeros(outputs * outputs, dtype=torch.int64, device=run.device)
    run.model.eval()
    for start in range(0, len(rows), batches.CHUNK):
        with run.watch.measure("evaluate"):
            images, targets = rows.between(start, min(start + batches.CHUNK, len(rows)))
            sums, logits = objective.measure(run, images, targets)
            totals.add(sums)
            if confusion:
                counts += torch.bincount(targets * outputs + logits.argmax(1), minlength=outputs * outputs)
        yield TICK
    return totals, counts.view(outputs, outputs) if confusion else None


class _Pace:
    """When Progress is due, and the means since the last one."""

    def __init__(self, run: Run) -> None:
        self.at = monotonic()
        self.first = self.last = _Mark.of(run)

    def is_due(self) -> bool:
        return monotonic() - self.at >= _REPORT_SECONDS

    def progress(self, run: Run) -> events.Progress:
        now, self.at = _Mark.of(run), monotonic()
        rows = now.rows - self.last.rows
        metrics = {"train.loss": (now.loss - self.last.loss) / rows}
        if run.has_classes:
            metrics["train.accuracy"] = (now.correct - self.last.correct) / rows
        metrics |= {"lr": run.lr(run.step - 1), "samples_per_second": now.speed_since(self.last)}
        self.last = now
        return events.Progress(epoch=run.standing.epoch + 1, step=run.step, metrics=metrics)

    def rows_per_second(self, run: Run) -> float:
        return _Mark.of(run).speed_since(self.first)


class _Mark:
    """The sums of an epoch at a moment, read from the device."""

    def __init__(self, loss: float, correct: int, rows: int, seconds: float) -> None:
        self.loss, self.correct, self.rows, self.seconds = loss, correct, rows, seconds

    @classmethod
    def of(cls, run: Run) -> "_Mark":
        return cls(float(run.totals.loss), int(run.totals.correct), run.epoch_rows, run.watch.seconds["train"])

    def speed_since(self, earlier: "_Mark") -> float:
        seconds = self.seconds - earlier.seconds
        return (self.rows - earlier.rows) / seconds if seconds else 0.0

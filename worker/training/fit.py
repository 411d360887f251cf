"""How a run is trained: a generator of what it has to say, which its caller may leave, save or end at any yield."""

from collections.abc import Generator, Iterator
from time import monotonic

from contract import events
from worker.training import batches, evaluation, finite, polish, precision, report, schedules, stationarity, step
from worker.training.evaluation import Evaluation
from worker.training.run import Run, Totals
from worker.training.said import TICK, Said
from worker.training.saver import Saver
from worker.training.standing import GRADIENT_MAPPING

_REPORT_SECONDS = 0.5


def fit(run: Run, saver: Saver | None = None) -> Generator[Said, None, None]:
    """Trains from where `run` stands to its end: Started first, then a yield after every step, Finished last.

    A checkpoint is said when it is written, all of them before Finished. Whenever it yields, `run` is at a step boundary and may be
    saved. Raises DivergedError, and OSError where a checkpoint could not be written.
    """
    with precision.algorithms(deterministic=run.spec.deterministic), saver or Saver(run) as saver:
        yield report.started(run)
        yield from (events.Warned(message=message) for message in run.warnings)
        test = yield from saver.alongside(_train(run, saver))
        yield events.Finished(result=report.result(run, test))


def _train(run: Run, saver: Saver) -> Generator[Said, None, Evaluation]:
    while run.standing.checkpoint_due or not run.is_over:
        if run.standing.checkpoint_due:
            saver.take()
        elif polish.is_due(run):
            polish.begin(run)
        else:
            yield from _epoch(run)
    saver.hurry()
    return (yield from evaluation.over(run, run.data.test))


def _epoch(run: Run) -> Iterator[Said]:
    started, pace = monotonic(), _Pace(run)
    order = batches.order(run)
    run.model.train()
    while run.standing.batch < run.steps_per_epoch:
        yield from step.take(run, order)
        yield pace.progress(run) if pace.is_due() else TICK
    finite.check_weights(run)
    metrics = report.epoch(run, pace.rows_per_second(run))
    if run.data.validation is not None:
        metrics |= yield from evaluation.validation(run, run.data.validation)
    if run.spec.tolerance is not None and run.standing.polished_from is None:
        metrics[GRADIENT_MAPPING] = yield from stationarity.gradient_mapping(run)
    run.standing.close_epoch(metrics, run.spec)
    run.standing.plateau = schedules.watch(run.spec.schedule, run.standing.plateau, metrics)
    run.totals = Totals.zero(run.device)
    yield events.EpochDone(epoch=run.standing.epoch, step=run.step, metrics=metrics, seconds=monotonic() - started)


class _Pace:
    """When Progress is due, and the means since the last one."""

    def __init__(self, run: Run) -> None:
        self.at = monotonic()
        self.first = self.last = _Mark.of(run)

    def is_due(self) -> bool:
        return monotonic() - self.at >= _REPORT_SECONDS

    def progress(self, run: Run) -> events.Progress:
        finite.read(run)
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

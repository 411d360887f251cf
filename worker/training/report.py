"""What is told of a run: the metrics of an epoch, and the result at the end."""

from contract import events
from worker.training import layers, lineage, penalties, weights
from worker.training.evaluation import Evaluation
from worker.training.run import Run


def started(run: Run) -> events.Started:
    """What is known before the first step."""
    return events.Started(
        data=run.data.lineage,
        machine=run.machine,
        parameters=sum(parameter.numel() for parameter in run.model.parameters()),
        steps=run.steps,
        step=run.step,
        epoch=run.standing.epoch,
    )


def epoch(run: Run, rows_per_second: float) -> events.Metrics:
    """The training half of an epoch's metrics; penalties and zeros are those of the weights at its end."""
    last = run.step - 1
    loss = float(run.totals.loss) / run.epoch_rows
    accuracy = {"train.accuracy": int(run.totals.correct) / run.epoch_rows} if run.has_classes else {}
    terms = penalties.values(run.terms, last)
    return {
        "train.loss": loss,
        **accuracy,
        **terms,
        **penalties.diagnostics(run.terms, last),
        "train.penalty": sum(terms.values()),
        "train.objective": loss + sum(terms.values()),
        "lr": run.lr(last),
        "weights.zeros": layers.share_of_zeros(run),
        "samples_per_second": rows_per_second,
    }


def result(run: Run, test: Evaluation) -> events.Result:
    """What the finished run found."""
    standing = run.standing
    with weights.evaluated(run):
        figures = layers.of(run)
    return events.Result(
        stop_reason=standing.stop_reason(run.spec),
        epochs=standing.epoch,
        steps=run.step,
        metrics=standing.metrics | test.metrics("test"),
        best_epoch=standing.best_epoch,
        best_metrics=standing.best_metrics,
        confusion=None if test.tally is None else test.tally.counts(),
        classes=None if test.tally is None else test.tally.classes(),
        layers=figures,
        parameters=sum(parameter.numel() for parameter in run.model.parameters()),
        data=run.data.lineage,
        machine=run.machine,
        versions=lineage.versions(),
        lineage=lineage.of(run),
        timings=dict(run.watch.seconds),
        samples_per_second=run.watch.rows / run.watch.seconds["train"] if run.watch.rows else 0.0,
        resumed_at_steps=standing.resumed_at_steps,
        bitwise=standing.bitwise,
    )

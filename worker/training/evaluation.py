"""How a run's weights do on rows they were not trained on."""

from collections.abc import Generator
from dataclasses import dataclass

from contract import events
from worker.training import batches, objective, penalties, weights
from worker.training.calibration import Tally
from worker.training.rows import Rows
from worker.training.run import Run, Totals
from worker.training.said import TICK, Said


@dataclass
class Evaluation:
    """Sums over rows."""

    rows: int
    totals: Totals
    tally: Tally | None
    """None for real targets."""

    def metrics(self, prefix: str) -> events.Metrics:
        """The job's own loss, and for classes accuracy, NLL, Brier score and ECE."""
        found = {f"{prefix}.loss": float(self.totals.loss) / self.rows}
        if self.tally is not None:
            found |= {f"{prefix}.accuracy": int(self.totals.correct) / self.rows, **self.tally.metrics(prefix)}
        return found


def over(run: Run, rows: Rows) -> Generator[Said, None, Evaluation]:
    """The weights that the run gives away, on `rows`, in evaluation mode. Yields between the parts."""
    tally = Tally.zero(run.spec.dataset.shape().outputs, run.device) if run.has_classes else None
    found = Evaluation(len(rows), Totals.zero(run.device), tally)
    run.model.eval()
    for start in range(0, len(rows), batches.CHUNK):
        with run.watch.measure("evaluate"), weights.evaluated(run):
            images, targets = rows.between(start, min(start + batches.CHUNK, len(rows)))
            sums, outputs = objective.measure(run, images, targets)
            found.totals.add(sums)
            if tally is not None:
                tally.add(outputs, targets)
        yield TICK
    return found


def validation(run: Run, rows: Rows) -> Generator[Said, None, events.Metrics]:
    """The metrics of `rows` by name, `val.objective` with the penalties of the very weights that were evaluated."""
    metrics = (yield from over(run, rows)).metrics("val")
    with weights.evaluated(run):
        worth = penalties.values(run.terms, run.step - 1)
    return metrics | {"val.objective": metrics["val.loss"] + sum(worth.values())}

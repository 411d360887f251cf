"""Whether what is watched is ever measured."""

from collections.abc import Iterator

from contract.spec import JobSpec, schedules
from contract.spec.faults import Fault

_OF_CLASSES = ("accuracy", "nll", "brier", "ece")


def faults(spec: JobSpec) -> Iterator[Fault]:
    """A validation metric without validation rows, or a metric of classes on real targets."""
    watched = [(("checkpoints", "monitor"), spec.checkpoints.monitor)]
    if spec.early_stopping:
        watched.append((("early_stopping", "monitor"), spec.early_stopping.monitor))
    if isinstance(spec.schedule, schedules.Plateau):
        watched.append((("schedule", "monitor"), spec.schedule.monitor))
    for pointer, metric in watched:
        if metric.startswith("val.") and spec.dataset.validation_fraction == 0:
            yield Fault(
                pointer, "metric_missing", f"{metric} never exists with validation_fraction 0; monitor train.loss or hold out some rows"
            )
        if metric.endswith(_OF_CLASSES) and spec.dataset.shape().targets == "real":
            yield Fault(pointer, "metric_missing", f"{metric} does not exist for real targets; monitor a loss")

"""What ends a job and what is kept of it: early stopping, checkpoint policy, limits."""

from typing import Annotated, Any, Literal

from pydantic import Field

from contract.spec.base import Metric, Mode, Spec


def improves(fields: dict[str, Any]) -> Mode:
    """The direction in which the monitored metric gets better: accuracies rise, losses fall."""
    return "max" if str(fields.get("monitor")).endswith("accuracy") else "min"


class EarlyStopping(Spec):
    """Stop when `monitor` has not improved by more than `min_delta` for `patience` epochs."""

    monitor: Metric = "val.loss"
    """The metric that has to improve; `train.loss` by default where no rows are held out."""
    mode: Mode = Field(default_factory=improves)
    """`min` or `max`; by default what the metric's name says: accuracies rise, losses fall."""
    patience: Annotated[int, Field(ge=1, le=10_000)] = 5
    """Epochs without an improvement after which the job stops."""
    min_delta: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    """By how much a value must beat the best to count."""


class Checkpoints(Spec):
    """When a checkpoint is written and which ones are kept. A job that ends always leaves its last and its best."""

    every_epochs: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Epochs from one checkpoint to the next."""
    keep_last: Annotated[int, Field(ge=1, le=100)] = 2
    """How many of the latest are kept."""
    keep_best: Annotated[int, Field(ge=1, le=100)] = 1
    """How many of the best are kept."""
    monitor: Metric = "val.loss"
    """What makes a checkpoint the best one."""
    mode: Mode = Field(default_factory=improves)
    """`min` or `max`; by default what the metric's name says: accuracies rise, losses fall."""
    resume: Literal["bitwise", "anywhere"] = "bitwise"
    """Where an interrupted job may go on: `bitwise` only on a worker with the torch version, device and CPU instructions it began
    with, for which it waits; `anywhere` on any, and the result then says `bitwise: false`."""


class Limits(Spec):
    """Times after which a job is given up, counted by the server."""

    max_runtime_seconds: Annotated[int, Field(ge=1, le=30 * 86_400)] = 3_600
    """From the first start; the job then fails with `deadline_exceeded`, its last checkpoint kept."""
    max_queue_seconds: Annotated[int, Field(ge=1, le=30 * 86_400)] = 86_400
    """From submission until the first start; the job then fails with `deadline_exceeded`."""

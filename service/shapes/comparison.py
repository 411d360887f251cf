"""Jobs side by side."""

from typing import Any, Literal

from contract.job import JobState
from service.shapes.base import Number, Numbers, View


class ComparedResult(View):
    """What a job found, in short."""

    stop_reason: str | None
    """What ended its training."""
    epochs: int | None
    """Epochs done."""
    metrics: Numbers
    """Of the last epoch, and those of the test set."""
    best_epoch: int | None
    """The best by the monitor of its checkpoint policy."""
    best_metrics: Numbers
    """That epoch's numbers."""
    parameters: int | None
    """How many values the network has."""
    weights: int
    """How many of them are weights."""
    zeros: int
    """How many weights are exact zeros."""
    train_seconds: Number | None
    """Seconds of training in the last attempt."""
    samples_per_second: Number | None
    """Rows a second of training."""


class ComparedJob(View):
    """One of the jobs."""

    id: str
    """Which one it is."""
    name: str | None
    """As it is called."""
    status: JobState
    """Where it stands."""
    result: ComparedResult | None
    """Null until it has succeeded."""


class Difference(View):
    """A value of the spec that is not the same in all."""

    pointer: str
    """JSON pointer (RFC 6901) into the spec."""
    values: dict[str, Any]
    """By the job's id; one whose spec has nothing there is left out."""


class ComparedSeries(View):
    """A metric over the epochs."""

    name: str
    """As in the job's metrics."""
    epochs: list[int]
    """Those of which any of the jobs has numbers."""
    values: dict[str, list[Number | None]]
    """By the job's id, a value for each epoch; null where the job has none."""


class Comparison(View):
    """Jobs side by side."""

    object: Literal["training.comparison"] = "training.comparison"
    jobs: list[ComparedJob]
    """In the order asked for."""
    differences: list[Difference]
    """What differs in their specs, and nothing else."""
    series: list[ComparedSeries]
    """The metrics asked for that any of them has."""

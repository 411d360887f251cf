"""What a client hears of a job while it trains: events, the numbers of the moment, metrics."""

from typing import Any, Literal

from contract.job import JobState
from service.shapes.base import Numbers, Page, Time, View
from service.shapes.job import Progress


class Event(View):
    """One line of a job's history."""

    object: Literal["training.event"] = "training.event"
    seq: int
    """Counts from 1 within the job, without gaps."""
    type: str
    """`status`, `epoch`, `checkpoint`, `warning` or `log`."""
    at: Time
    """When it happened."""
    level: str
    """`info`, `warning` or `error`."""
    message: str
    """One line for people."""
    data: dict[str, Any]
    """The same for programs; what it holds goes by the type."""


class EventList(Page[Event]):
    """A page of a job's history, oldest first."""


class Live(View):
    """How a job stands at this moment. Only in streams, between the events; it is not kept."""

    object: Literal["training.progress"] = "training.progress"
    status: JobState
    """Where the job stands."""
    progress: Progress
    """How far it has come."""
    latest_metrics: Numbers
    """The numbers reported last."""


class Resync(View):
    """Said once, at the start of a stream that was asked to go on from an event that it does not have: forget what was heard."""

    object: Literal["training.resync"] = "training.resync"
    reason: str
    """`unknown_event_id`: the Last-Event-ID is none of this job's."""
    from_seq: int
    """The `seq` of the event that follows; the job's history begins anew there."""


class MetricPoint(View):
    """The numbers reported after one step: means since the report before (`step`) or of a whole epoch (`epoch`)."""

    object: Literal["training.metrics"] = "training.metrics"
    step: int
    """Optimizer steps done."""
    scope: str
    """`step` or `epoch`."""
    epoch: int
    """The epoch that the step belongs to, from 1."""
    at: Time
    """When it was reported."""
    values: Numbers
    """Each number by its name."""


class MetricList(Page[MetricPoint]):
    """A job's numbers in the order of its steps."""

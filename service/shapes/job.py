"""A job as a client sees it, and lists of them."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from contract import events
from contract.job import JobState
from service.shapes.base import Number, Numbers, Page, Time, View


class Progress(View):
    """How far a job has come."""

    epoch: int
    """Epochs done."""
    epochs: int
    """Epochs of the whole job if nothing stops it early, those of a polish among them."""
    step: int
    """Optimizer steps done."""
    steps: int | None
    """Optimizer steps of the whole job if nothing stops it early; null until training has started."""
    fraction: float
    """Done of the whole, from 0 to 1."""
    seconds_remaining: float | None
    """Estimate for a running job."""


class QueuePlace(View):
    """Where a queued job stands."""

    position: int
    """From 1."""
    jobs_ahead: int
    """Queued jobs that start before it."""
    estimated_wait_seconds: float | None = None
    """Until it starts, by how long jobs of its kind took lately and by the workers that are there; null where that is not known."""
    waits_for: str | None
    """The class of machine that alone may take it, as it goes on to the bit from a checkpoint written there; null where any may."""


class Best(View):
    """The best checkpoint so far, by the monitor of the job's checkpoint policy."""

    checkpoint_id: str
    """Which one it is. Its id stays here where the checkpoint was deleted since, and answers 410 then."""
    epoch: int
    """Epochs done when it was written."""
    metric: str
    """What was monitored."""
    value: Number
    """Of that metric."""


class Transition(View):
    """One move of a job from a status to another."""

    from_: Annotated[str | None, Field(alias="from")]
    """Null for the first."""
    to: str
    """The status from then on."""
    at: Time
    """When it moved."""
    reason: str | None
    """Why, in a few words."""
    actor: str
    """`client`, `worker` or `reconciler`."""


class Failure(View):
    """Why a job failed."""

    code: str
    """One of a closed set, as `diverged` or `out_of_memory`."""
    message: str
    """What happened, with the values that tell it."""
    hint: str
    """What to do about it."""
    retryable: bool
    """Whether the same job could end otherwise."""


class Parent(View):
    """The job that this one came from."""

    job_id: str
    """Which one that was."""
    relation: str
    """What this one is to it: its `retry`, its `extension` or its `clone`."""
    checkpoint_id: str | None
    """The checkpoint that this one goes on from; null where it begins anew. See `init_from` of the spec for one whose weights alone
    it starts from."""


class TrainingData(events.Data):
    """Which data a job trains on."""

    # Replies are open: a newer worker may say more than this service knows.
    model_config = ConfigDict(extra="ignore")


class Machine(events.Machine):
    """What decides the bits of a result besides spec, data and seed."""

    model_config = ConfigDict(extra="ignore")


class JobLinks(View):
    """Where to read on: paths on this server."""

    self: str
    """The job."""
    events: str
    """Its history, also as a stream."""
    metrics: str
    """Its numbers, step by step."""
    result: str
    """What it found; there once it has succeeded."""
    checkpoints: str
    """What can be downloaded."""
    cancel: str
    """Where to ask for its end."""
    pause: str
    """Where to ask that it rests."""
    resume: str
    """Where to ask that it goes on."""
    retry: str
    """Where to ask for it again, once it has failed or was cancelled."""
    extend: str
    """Where to ask for more epochs, once it has succeeded."""
    clone: str
    """Where to ask for a job of the same spec, or nearly so."""


class Job(View):
    """A training job as it stands."""

    object: Literal["training.job"] = "training.job"
    id: str
    """Sorts by time of submission."""
    name: str | None
    """As submitted, or as changed since."""
    metadata: dict[str, str]
    """As submitted, or as changed since."""
    status: JobState
    """Where it stands. `paused` rests until it is resumed; `succeeded`, `failed` and `cancelled` are final."""
    status_reason: str | None
    """Why it stands there, in a few words."""
    created_at: Time
    """When it was submitted."""
    started_at: Time | None
    """Of the first attempt."""
    finished_at: Time | None
    """When it reached its final status."""
    updated_at: Time
    """When anything about it last changed."""
    spec: dict[str, Any]
    """As submitted, with every default filled in; can be posted back as it is. Name, metadata and priority are those of now."""
    progress: Progress
    """How far it has come."""
    queue: QueuePlace | None
    """While queued."""
    attempt: int
    """Rises each time that a worker takes the job up."""
    latest_metrics: Numbers
    """The numbers reported last."""
    best: Best | None
    """Its best checkpoint so far."""
    status_transitions: list[Transition]
    """Every status it has had, oldest first."""
    error: Failure | None
    """Of a failed job."""
    parent: Parent | None
    """The job that it retries, extends or was cloned from; null for one that was submitted."""
    dataset: TrainingData | None
    """Which data it trains on; null until training has started."""
    machine: Machine | None
    """What decides the bits of the result besides spec, data and seed; null until training has started."""
    links: JobLinks
    """Where to read on."""


class JobList(Page[Job]):
    """A page of jobs, newest first."""

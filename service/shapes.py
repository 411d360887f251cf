"""The shape of every reply: what a client sees of a job and of what belongs to it."""

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from contract import events
from contract.job import JobState

Number = int | float | Literal["NaN", "Infinity", "-Infinity"]
"""A number; one that JSON cannot hold is one of three strings."""
Numbers = dict[str, Number]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-11-22T07:15:00.123Z"])]
"""RFC 3339, in UTC, to the millisecond."""
Item = TypeVar("Item")


class View(BaseModel):
    """A reply, or a part of one. Replies are open: later versions may add fields and enum values."""

    model_config = ConfigDict(use_attribute_docstrings=True, protected_namespaces=(), serialize_by_alias=True, validate_by_name=True)


class Page(View, Generic[Item]):
    """Part of a list."""

    object: Literal["list"] = "list"
    data: list[Item]
    has_more: bool = False
    next_cursor: str | None = None
    """Give it back to get the next page; null on the last one."""


class Progress(View):
    """How far a job has come."""

    epoch: int
    """Epochs done."""
    epochs: int
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


class Best(View):
    """The best checkpoint so far, by the monitor of the job's checkpoint policy."""

    checkpoint_id: str
    epoch: int
    metric: str
    value: Number


class Transition(View):
    """One move of a job from a status to another."""

    from_: Annotated[str | None, Field(alias="from")]
    """Null for the first."""
    to: str
    at: Time
    reason: str | None
    actor: str
    """`client`, `worker` or `reconciler`."""


class Failure(View):
    """Why a job failed."""

    code: str
    """One of a closed set, as `diverged` or `out_of_memory`."""
    message: str
    hint: str
    """What to do about it."""
    retryable: bool
    """Whether the same job could end otherwise."""


class Parent(View):
    """The job that this one came from."""

    job_id: str
    relation: str


class Dataset(events.Data):
    """Which data a job trains on."""

    # Replies are open: a newer worker may say more than this service knows.
    model_config = ConfigDict(extra="ignore")


class Machine(events.Machine):
    """What decides the bits of a result besides spec, data and seed."""

    model_config = ConfigDict(extra="ignore")


class JobLinks(View):
    """Where to read on: paths on this server."""

    self: str
    events: str
    metrics: str
    result: str
    checkpoints: str
    cancel: str


class Job(View):
    """A training job as it stands."""

    object: Literal["training.job"] = "training.job"
    id: str
    """Sorts by time of submission."""
    name: str | None
    metadata: dict[str, str]
    status: JobState
    status_reason: str | None
    created_at: Time
    started_at: Time | None
    """Of the first attempt."""
    finished_at: Time | None
    updated_at: Time
    spec: dict[str, Any]
    """As submitted, with every default filled in; can be posted back as it is."""
    progress: Progress
    queue: QueuePlace | None
    """While queued."""
    attempt: int
    """Rises each time that a worker takes the job up."""
    latest_metrics: Numbers
    best: Best | None
    status_transitions: list[Transition]
    error: Failure | None
    """Of a failed job."""
    parent: Parent | None
    dataset: Dataset | None
    """Which data it trains on; null until training has started."""
    machine: Machine | None
    """What decides the bits of the result besides spec, data and seed; null until training has started."""
    links: JobLinks


class JobList(Page[Job]):
    """A page of jobs, newest first."""


class Event(View):
    """One line of a job's history."""

    object: Literal["training.event"] = "training.event"
    seq: int
    """Counts from 1 within the job, without gaps."""
    type: str
    """`status`, `epoch`, `checkpoint`, `warning` or `log`."""
    at: Time
    level: str
    """`info`, `warning` or `error`."""
    message: str
    data: dict[str, Any]


class EventList(Page[Event]):
    """A page of a job's history, oldest first."""


class Live(View):
    """How a job stands at this moment. Only in streams, between the events; it is not kept."""

    object: Literal["training.progress"] = "training.progress"
    status: JobState
    progress: Progress
    latest_metrics: Numbers


class MetricPoint(View):
    """The numbers reported after one step: means since the report before (`step`) or of a whole epoch (`epoch`)."""

    object: Literal["training.metrics"] = "training.metrics"
    step: int
    scope: str
    epoch: int
    at: Time
    values: Numbers


class MetricList(Page[MetricPoint]):
    """A job's numbers in the order of its steps."""


class CheckpointFile(View):
    """One file of a checkpoint."""

    name: str
    size_bytes: int
    sha256: str
    href: str
    """Path on this server."""


class Checkpoint(View):
    """A whole checkpoint, ready for download."""

    object: Literal["training.checkpoint"] = "training.checkpoint"
    id: str
    job_id: str
    epoch: int
    """Epochs done."""
    step: int
    metrics: Numbers
    """Of the last epoch done."""
    aliases: list[str]
    """`best`, `last`, or both: names that serve in place of the id."""
    pinned: bool
    size_bytes: int
    format: Literal["safetensors"] = "safetensors"
    files: list[CheckpointFile]
    created_at: Time


class CheckpointList(Page[Checkpoint]):
    """The checkpoints that are kept, newest first."""


class ResultLayer(View):
    """What became of one layer's weights."""

    name: str
    size: int
    zeros: int
    """Exact zeros."""
    near_zero: int
    """Below 1e-3 in absolute value, exact zeros included."""
    l1: Number
    l2: Number
    filters: int | None = None
    """Output filters of a convolution, neurons of a linear layer. Null, as all below, in results of earlier versions."""
    dead_filters: int | None = None
    """Those that give 0 to the next layer whatever the input."""
    sigma_max: Number | None = None
    """The largest singular value of the weight as a matrix of outputs by inputs."""


class ResultClass(View):
    """How well one class is told from the others on the test rows."""

    label: int
    precision: Number
    recall: Number
    f1: Number
    support: int
    """Its test rows."""


class Lineage(View):
    """What must be the same for a result to be the same to the bit, beside the data."""

    spec_sha256: str
    """Of everything in the spec that training depends on."""
    seed: int
    version: str
    commit: str | None
    """Of the code, where it is known."""
    fingerprint: str
    """Of the machine."""


class Result(View):
    """What a succeeded job found, computed on the last weights, or on their average where the job gives one away."""

    object: Literal["training.result"] = "training.result"
    job_id: str
    stop_reason: str
    """`epochs`, `early_stopping` or `tolerance`: what ended the training, before a polish if there was one."""
    epochs: int
    steps: int
    metrics: Numbers
    """Of the last epoch, and `test.loss`; for classes `test.accuracy`, `test.nll`, `test.brier` and `test.ece`."""
    best_epoch: int
    best_metrics: Numbers
    confusion: list[list[int]] | None
    """Test rows by true class (row) and predicted class (column); null for real targets."""
    classes: list[ResultClass] | None = None
    """In the order of their labels; null for real targets."""
    layers: list[ResultLayer]
    parameters: int
    data: Dataset
    machine: Machine
    versions: dict[str, str]
    lineage: Lineage | None = None
    timings: Numbers
    """Seconds: `queue` from submission to the first start; of the last attempt `start` until its first step was due, `load`, `train`,
    `evaluate` and `checkpoint`."""
    samples_per_second: Number
    resumed_at_steps: list[int]
    """Steps at which the job was taken up again; empty if it ran through."""


class Worker(View):
    """One worker and what it does."""

    object: Literal["worker"] = "worker"
    id: str
    host: str
    pid: int
    state: str
    """`starting`, `idle`, `busy` or `draining`."""
    is_fresh: bool
    """Whether it was heard of lately."""
    device: str
    job_id: str | None
    versions: dict[str, Any]
    started_at: Time
    last_seen: Time


class WorkerList(Page[Worker]):
    """The workers that did not leave in good order."""


class Layer(View):
    """A layer with parameters."""

    name: str
    weight: list[int]
    """Shape of the weight, as torch keeps it."""
    bias: list[int] | None
    parameters: int


class Validation(View):
    """What a spec would train."""

    object: Literal["training.validation"] = "training.validation"
    spec: dict[str, Any]
    """With every default filled in."""
    parameters: int
    """Number of trainable values."""
    layers: list[Layer]


class Check(View):
    """Whether one thing that the service needs is there."""

    name: str
    ok: bool
    detail: str


class Health(View):
    """Whether the process lives."""

    status: Literal["ok"] = "ok"


class Readiness(View):
    """Whether jobs that are submitted now will be trained."""

    status: Literal["ok", "degraded", "unavailable"]
    checks: list[Check]


class Version(View):
    """What runs here."""

    name: Literal["ridgeline"] = "ridgeline"
    version: str
    api: Literal["v1"] = "v1"
    python: str


class Kind(View):
    """One thing that a family of the spec offers."""

    kind: str
    summary: str
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    """JSON Schema of its fields, with defaults and bounds."""


class DataSet(View):
    """Data that a job may train on by name."""

    kind: str
    name: str
    channels: int
    height: int
    width: int
    outputs: int
    targets: str


class Capabilities(View):
    """Everything that a spec may ask for here."""

    object: Literal["capabilities"] = "capabilities"
    families: dict[str, list[Kind]]
    """By the field of the spec: `model`, `optimizer`, `penalties` and so on."""
    spec: dict[str, Any]
    """JSON Schema of a whole job spec."""
    datasets: list[DataSet]
    devices: list[str]
    """Of the workers heard of lately."""

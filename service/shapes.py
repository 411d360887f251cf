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
    """What is on this page."""
    has_more: bool = False
    """Whether another page follows."""
    next_cursor: str | None = None
    """Give it back to get the next page; null on the last one."""


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
    waits_for: str | None
    """The class of machine that alone may take it, as it goes on to the bit from a checkpoint written there; null where any may."""


class Best(View):
    """The best checkpoint so far, by the monitor of the job's checkpoint policy."""

    checkpoint_id: str
    """Which one it is."""
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
    """What this one is to it: its `retry` or its `extension`."""
    checkpoint_id: str | None
    """The checkpoint that this one goes on from; null where it begins anew."""


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


class Job(View):
    """A training job as it stands."""

    object: Literal["training.job"] = "training.job"
    id: str
    """Sorts by time of submission."""
    name: str | None
    """As submitted."""
    metadata: dict[str, str]
    """As submitted."""
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
    """As submitted, with every default filled in; can be posted back as it is."""
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
    """The job that it retries or extends; null for one that was submitted."""
    dataset: Dataset | None
    """Which data it trains on; null until training has started."""
    machine: Machine | None
    """What decides the bits of the result besides spec, data and seed; null until training has started."""
    links: JobLinks
    """Where to read on."""


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


class CheckpointFile(View):
    """One file of a checkpoint."""

    name: str
    """As in its path."""
    size_bytes: int
    """Bytes."""
    sha256: str
    """Of its content, in hexadecimal digits."""
    href: str
    """Path on this server."""


class Checkpoint(View):
    """A whole checkpoint, ready for download."""

    object: Literal["training.checkpoint"] = "training.checkpoint"
    id: str
    """Sorts by time of writing."""
    job_id: str
    """The job that wrote it."""
    epoch: int
    """Epochs done."""
    step: int
    """Optimizer steps done."""
    metrics: Numbers
    """Of the last epoch done."""
    aliases: list[str]
    """`best`, `last`, or both: names that serve in place of the id."""
    pinned: bool
    """Whether it is kept whatever the policy says."""
    size_bytes: int
    """Bytes of all its files."""
    format: Literal["safetensors"] = "safetensors"
    files: list[CheckpointFile]
    """What can be downloaded."""
    created_at: Time
    """When it was written."""


class CheckpointList(Page[Checkpoint]):
    """The checkpoints that are kept, newest first."""


class ResultLayer(View):
    """What became of one layer's weights."""

    name: str
    """As in the network, and in `on` of a penalty."""
    size: int
    """How many weights it has."""
    zeros: int
    """Exact zeros."""
    near_zero: int
    """Below 1e-3 in absolute value, exact zeros included."""
    l1: Number
    """‖W‖₁, the sum of their absolute values."""
    l2: Number
    """‖W‖₂, the root of the sum of their squares."""
    filters: int | None = None
    """Output filters of a convolution, neurons of a linear layer. Null, as all below, in results of earlier versions."""
    dead_filters: int | None = None
    """Those that give 0 to the next layer whatever the input."""
    sigma_max: Number | None = None
    """The largest singular value of the weight as a matrix of outputs by inputs."""


class ResultClass(View):
    """How well one class is told from the others on the test rows."""

    label: int
    """The class, from 0."""
    precision: Number
    """Share of the rows called so that are so; 0 where none is."""
    recall: Number
    """Share of the rows that are so that are called so; 0 where none is."""
    f1: Number
    """The harmonic mean of both."""
    support: int
    """Its test rows."""


class Lineage(View):
    """What must be the same for a result to be the same to the bit, beside the data."""

    spec_sha256: str
    """Of everything in the spec that training depends on."""
    seed: int
    """As in the spec."""
    version: str
    """Of Ridgeline."""
    commit: str | None
    """Of the code, where it is known."""
    fingerprint: str
    """Of the machine."""


class Result(View):
    """What a succeeded job found, computed on the last weights, or on their average where the job gives one away."""

    object: Literal["training.result"] = "training.result"
    job_id: str
    """The job that found it."""
    stop_reason: str
    """`epochs`, `early_stopping` or `tolerance`: what ended the training, before a polish if there was one."""
    epochs: int
    """Epochs done, those of a polish among them."""
    steps: int
    """Optimizer steps done."""
    metrics: Numbers
    """Of the last epoch, and `test.loss`; for classes `test.accuracy`, `test.nll`, `test.brier` and `test.ece`."""
    best_epoch: int
    """The epoch that the checkpoint policy's monitor calls best."""
    best_metrics: Numbers
    """That epoch's numbers."""
    confusion: list[list[int]] | None
    """Test rows by true class (row) and predicted class (column); null for real targets."""
    classes: list[ResultClass] | None = None
    """In the order of their labels; null for real targets."""
    layers: list[ResultLayer]
    """What became of the weights of each layer."""
    parameters: int
    """How many values the network has."""
    data: Dataset
    """What it was trained on."""
    machine: Machine
    """What it was trained by."""
    versions: dict[str, str]
    """Of the libraries, by name."""
    lineage: Lineage | None = None
    """What the bits follow from; null in results of earlier versions."""
    timings: Numbers
    """Seconds: `queue` from submission to the first start; of the last attempt `start` until its first step was due, `load`, `train`,
    `evaluate` and `checkpoint`."""
    samples_per_second: Number
    """Rows a second of training."""
    resumed_at_steps: list[int]
    """Steps at which the job was taken up again; empty if it ran through."""
    bitwise: bool | None = None
    """Whether the weights are, to the bit, those of a run without interruption; null in results of earlier versions."""
    best: Best | None = None
    """Its best checkpoint."""
    best_checkpoint_id: str | None = None
    """Id of the same."""
    last_checkpoint_id: str | None = None
    """The checkpoint of the weights that the job ended with."""
    spec_sha256: str | None = None
    """Of the whole spec as it was submitted, unlike that of the lineage."""
    seed: int | None = None
    """As in the spec."""
    attempts: int | None = None
    """How often a worker took the job up."""


class Worker(View):
    """One worker and what it does."""

    object: Literal["worker"] = "worker"
    id: str
    """Given anew at each start."""
    host: str
    """The machine it runs on."""
    pid: int
    """Its process there."""
    state: str
    """`starting`, `idle`, `busy` or `draining`."""
    is_fresh: bool
    """Whether it was heard of lately."""
    device: str
    """What it trains on."""
    job_id: str | None
    """The job it trains; null while it has none."""
    versions: dict[str, Any]
    """Of the libraries, by name."""
    started_at: Time
    """When it came up."""
    last_seen: Time
    """When it was last heard of."""


class WorkerList(Page[Worker]):
    """The workers that did not leave in good order."""


class Layer(View):
    """A layer with parameters."""

    name: str
    """What `on` of a penalty calls it."""
    weight: list[int]
    """Shape of the weight, as torch keeps it."""
    bias: list[int] | None
    """Shape of the bias; null without one."""
    parameters: int
    """Number of its trainable values."""


class Validation(View):
    """What a spec would train."""

    object: Literal["training.validation"] = "training.validation"
    spec: dict[str, Any]
    """With every default filled in."""
    parameters: int
    """Number of trainable values."""
    layers: list[Layer]
    """In the order in which the data passes them."""


class Check(View):
    """Whether one thing that the service needs is there."""

    name: str
    """Of the thing."""
    ok: bool
    """Whether it is there."""
    detail: str
    """What was found."""


class Health(View):
    """Whether the process lives."""

    status: Literal["ok"] = "ok"


class Readiness(View):
    """Whether jobs that are submitted now will be trained."""

    status: Literal["ok", "degraded", "unavailable"]
    """`degraded`: jobs are trained, some seconds later than usual, as the broker is down. `unavailable`: none is."""
    checks: list[Check]
    """One for each thing that is needed."""


class Version(View):
    """What runs here."""

    name: Literal["ridgeline"] = "ridgeline"
    version: str
    """Of Ridgeline."""
    api: Literal["v1"] = "v1"
    python: str
    """The version of Python that the service runs on."""


class Kind(View):
    """One thing that a family of the spec offers."""

    kind: str
    """What the spec calls it."""
    summary: str
    """What it is, in a sentence or two."""
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    """JSON Schema of its fields, with defaults and bounds."""


class DataSet(View):
    """Data that a job may train on by name."""

    kind: str
    """The kind of `dataset` that names it."""
    name: str
    """Its name there."""
    channels: int
    """Values of each pixel."""
    height: int
    """Pixels."""
    width: int
    """Pixels."""
    outputs: int
    """Number of classes, or of real target values."""
    targets: str
    """`classes` or `real`."""


class Capabilities(View):
    """Everything that a spec may ask for here."""

    object: Literal["capabilities"] = "capabilities"
    families: dict[str, list[Kind]]
    """By the field of the spec: `model`, `optimizer`, `penalties` and so on."""
    spec: dict[str, Any]
    """JSON Schema of a whole job spec."""
    datasets: list[DataSet]
    """What `dataset` can name, with the shape of each unless the spec says another."""
    devices: list[str]
    """Of the workers heard of lately."""

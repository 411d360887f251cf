"""Everything a job can say about itself while it trains, as the trainer writes it, one JSON line each."""

import re
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from contract.described import by_docstrings


class FailureCode(StrEnum):
    """Why a job failed. The set is closed; each member says whether another try could end otherwise."""

    DATA_INVALID = "data_invalid"
    """The data cannot be read or does not match the spec. Another try ends the same."""
    SPEC_INVALID = "spec_invalid"
    """The spec passed the checks at submit time and still cannot be built. Another try ends the same."""
    DIVERGED = "diverged"
    """Loss or gradient became non-finite. Another try ends the same; the message names the step and a remedy."""
    OUT_OF_MEMORY = "out_of_memory"
    """The device or the machine ran out of memory."""
    DISK_FULL = "disk_full"
    """A checkpoint could not be written; tried again later."""
    CRASH_LOOP = "crash_loop"
    """The trainer died three times without reaching a new checkpoint."""
    STALLED = "stalled"
    """The trainer did not get on for far longer than a step takes, three times without a new checkpoint."""
    DEADLINE_EXCEEDED = "deadline_exceeded"
    """A limit of the spec (`max_runtime_seconds`, `max_queue_seconds`) was reached."""
    ARTIFACT_CORRUPT = "artifact_corrupt"
    """No stored checkpoint of the job passes its checksum any more."""
    DEPENDENCY_DOWN = "dependency_down"
    """A store the job needs could not be reached; tried again later."""
    INTERNAL = "internal"
    """A fault of ours; the log of the worker has the trace."""


RETRYABLE = frozenset({FailureCode.DISK_FULL, FailureCode.DEPENDENCY_DOWN})


class _Said(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), json_schema_extra=by_docstrings, ser_json_inf_nan="constants"
    )


Metrics = dict[str, float]
"""Names as in `train.loss`, `train.penalty.l1`, `val.accuracy`, `lr`; values may be non-finite."""


class File(_Said):
    """One file of a checkpoint."""

    name: str
    size_bytes: int
    sha256: str


class Data(_Said):
    """Which data the job trains on."""

    name: str
    """As the spec calls it."""
    source: str
    """`data_folder`, `system_package`, `shipped_subset`, `generated` or `uploaded`."""
    sha256: str
    """Of the images and labels, train then test, as raw values."""
    train_rows: int
    """Rows trained on."""
    validation_rows: int
    """Rows held out of the training file."""
    test_rows: int
    """Rows of the test file."""
    unlabelled_rows: int = 0
    """Rows left out because their label is missing, of training and test rows together."""


Layout = Literal["channels_last", "contiguous"]
"""How images lie in memory: channel by channel within a pixel, or pixel by pixel within a channel."""


class Machine(_Said):
    """What decides the bits of a result besides spec, data and seed."""

    device: str
    """`cpu`, or `cuda:0 NVIDIA …`."""
    precision: Literal["float32", "bfloat16", "float64"]
    """As chosen: never `auto`."""
    layout: Layout = "channels_last"
    """How the images of a convolutional network lie in memory."""
    measured: dict[str, float] | None = None
    """Milliseconds of a step in each precision and layout, where they were measured before the job began; null where the defaults hold."""
    threads: int
    """Of the CPU, that torch computes with."""
    cpu_capability: str
    """The widest instructions that torch uses, as `AVX2`."""
    torch: str
    """Its version."""

    def fingerprint(self) -> str:
        """All that decides bits besides the spec and the data, in one line: where two are the same, so are the weights."""
        layout = "" if self.layout == "channels_last" else f" {self.layout}"
        return f"torch {self.torch}, {self.device}, {self.precision}{layout}, {self.threads} threads, {self.cpu_capability}"

    def machine_class(self) -> str:
        """What two machines must share for a resume to go on to the bit. Precision, layout and thread count are set to what they were."""
        return machine_class(self.torch, self.device, self.cpu_capability)


def machine_class(torch: str, device: str, cpu_capability: str) -> str:
    """As `torch 2.15.0, cpu, AVX2` or `torch 2.15.0, cuda NVIDIA H100, AVX512`; which of several like GPUs it is does not count."""
    kind = re.sub(r"^cuda:[0-9]+", "cuda", device)
    return f"torch {torch}, {kind}, {cpu_capability}"


class TrainerReady(_Said):
    """The trainer has imported torch and waits for a job."""

    type: Literal["trainer_ready"] = "trainer_ready"
    device: str
    torch: str
    cpu_capability: str

    def machine_class(self) -> str:
        """Of this worker; see `Machine.machine_class`."""
        return machine_class(self.torch, self.device, self.cpu_capability)


class Beat(_Said):
    """A sign of life from work that has nothing else to tell for long: a large full batch, the evaluation of many rows."""

    type: Literal["beat"] = "beat"
    step: int


class Started(_Said):
    """The network is built and the data loaded; the first step follows."""

    type: Literal["started"] = "started"
    data: Data
    machine: Machine
    parameters: int
    """Number of trainable values."""
    steps: int
    """Optimizer steps of the whole job, if nothing stops it early."""
    step: int
    """Steps already done: above 0 on a resume."""
    epoch: int
    """Epochs already done."""


class Progress(_Said):
    """How things stand within an epoch, a few times a second at most. Means since the last report."""

    type: Literal["progress"] = "progress"
    epoch: int
    """The epoch being trained, from 1."""
    step: int
    """Optimizer steps done in the whole job."""
    metrics: Metrics


class EpochDone(_Said):
    """An epoch is trained and validated. Means over the epoch; loss terms apart."""

    type: Literal["epoch_done"] = "epoch_done"
    epoch: int
    """Epochs done, from 1."""
    step: int
    metrics: Metrics
    seconds: float


class CheckpointWritten(_Said):
    """A whole checkpoint is flushed to disk; its manifest was written last."""

    type: Literal["checkpoint_written"] = "checkpoint_written"
    folder: str
    """Its name in the scratch folder."""
    epoch: int
    """Epochs done."""
    step: int
    files: tuple[File, ...]
    metrics: Metrics
    """Of the last finished epoch; empty before the first."""
    interim: bool = False
    """Whether it was written in mid-epoch, because the job is stopping or much work would be lost, rather than by the checkpoint
    policy. To resume from; no candidate for the best."""


class Warned(_Said):
    """Something the user should know and that stops nothing."""

    type: Literal["warned"] = "warned"
    message: str


class StopReason(StrEnum):
    """Why training ended of itself."""

    EPOCHS = "epochs"
    """All epochs are done."""
    EARLY_STOPPING = "early_stopping"
    """The monitored metric stopped improving."""
    TOLERANCE = "tolerance"
    """The objective is stationary: the norm of its gradient mapping is not above the tolerance."""


class LayerWeights(_Said):
    """What became of one layer's weight tensor."""

    name: str
    size: int
    zeros: int
    """Exact zeros."""
    near_zero: int
    """|w| < 1e-3, exact zeros included."""
    l1: float
    """‖W‖₁, the sum of absolute values."""
    l2: float
    """‖W‖₂, the root of the sum of squares."""
    filters: int
    """Units in all: output filters of a convolution, neurons of a linear layer."""
    dead_filters: int
    """Units that give 0 to the next layer whatever the input, and can be removed; 0 for the network's outputs."""
    sigma_max: float
    """The largest singular value of the weight as a matrix [outputs, inputs·k·k]; NaN if it is not finite."""


class ClassFigures(_Said):
    """How well one class is told from the others on the test rows. 0 where a figure divides by nothing."""

    label: int
    precision: float
    """Of the rows predicted as it, the share that is it."""
    recall: float
    """Of its rows, the share that was predicted as it."""
    f1: float
    """The harmonic mean of both."""
    support: int
    """Its test rows."""


class Lineage(_Said):
    """What must be the same for a result to be the same to the bit, beside the data."""

    spec_sha256: str
    """Of everything in the spec that training depends on: name, metadata, limits and priority are left out."""
    seed: int
    version: str
    """Of Ridgeline."""
    commit: str | None
    """Of the code, where it is known."""
    fingerprint: str
    """Of the machine."""


class Result(_Said):
    """What a finished job found, computed on the last weights, or on their average where the job gives one away."""

    stop_reason: StopReason
    epochs: int
    steps: int
    metrics: Metrics
    """Of the last epoch, and `test.loss`; for classes `test.accuracy`, `test.nll`, `test.brier` and `test.ece` (15 bins)."""
    best_epoch: int
    """The epoch that the checkpoint policy's monitor calls best."""
    best_metrics: Metrics
    """That epoch's metrics."""
    confusion: tuple[tuple[int, ...], ...] | None
    """Test rows by true class (row) and predicted class (column); None for real targets."""
    classes: tuple[ClassFigures, ...] | None
    """In the order of their labels; None for real targets."""
    layers: tuple[LayerWeights, ...]
    parameters: int
    data: Data
    machine: Machine
    versions: dict[str, str]
    """Of Ridgeline, Python, torch, torchvision and numpy."""
    lineage: Lineage
    timings: dict[str, float]
    """Seconds of this attempt: `load`, `train`, `evaluate`, `checkpoint`."""
    samples_per_second: float
    """Training rows a second of this attempt, evaluation and checkpoints left out."""
    resumed_at_steps: tuple[int, ...]
    """The steps at which the job was resumed; empty if it ran through."""
    bitwise: bool
    """Whether the weights are, to the bit, those of a run without interruption: always on one class of CPU; on a GPU where it was not
    interrupted or the spec is `deterministic`; not after a resume on another class of machine."""


class Finished(_Said):
    """Training is over; the last checkpoint was said before."""

    type: Literal["finished"] = "finished"
    result: Result


class Stopped(_Said):
    """The trainer did as it was told by a Stop: it is idle, and said a checkpoint before if one was asked for."""

    type: Literal["stopped"] = "stopped"
    step: int


class Failed(_Said):
    """The job cannot go on. `message` names the value and the place, `hint` the remedy."""

    type: Literal["failed"] = "failed"
    code: FailureCode
    message: str
    hint: str
    step: int


Event = Annotated[
    TrainerReady | Beat | Started | Progress | EpochDone | CheckpointWritten | Warned | Finished | Stopped | Failed,
    Field(discriminator="type"),
]

_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


def to_line(event: Event) -> str:
    """One line of JSON without its newline. Non-finite metrics appear as NaN, Infinity and -Infinity."""
    return event.model_dump_json()


def from_line(line: str | bytes) -> Event:
    """The event a line holds. Raises pydantic's ValidationError on anything else."""
    return _EVENT.validate_json(line)

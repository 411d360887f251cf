"""What a succeeded job found."""

from typing import Literal

from service.shapes.base import Number, Numbers, View
from service.shapes.job import Best, Machine, TrainingData


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
    data: TrainingData
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
    init_from: str | None = None
    """The checkpoint whose weights it started from; null where the seed drew them."""
    attempts: int | None = None
    """How often a worker took the job up."""

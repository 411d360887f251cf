"""What a spec may ask for, and what one would train."""

from typing import Annotated, Any, Literal

from pydantic import Field

from service.shapes.base import View


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


class Warned(View):
    """Something that is possible and seldom meant."""

    pointer: str
    """JSON pointer (RFC 6901) to what it is about, in the spec."""
    code: str
    """Stable and machine-readable, as `huge_lambda`."""
    message: str
    """What will happen, and what to do instead."""


class Memory(View):
    """Bytes that a job takes, roughly: without its data, and without what torch itself takes."""

    weights_bytes: int
    """The network."""
    gradients_bytes: int
    """One value for each weight."""
    optimizer_bytes: int
    """What the optimizer remembers from step to step, and an average of the weights where one is kept."""
    activations_bytes: int
    """What one step holds of its rows."""
    total_bytes: int
    """All of it."""


class Duration(View):
    """How long a job takes, by jobs of the same kind of model on the same data that succeeded lately."""

    seconds: float | None
    """Of training, without the wait; null where no such job was measured."""
    seconds_per_epoch: float | None
    """The median over those jobs; null likewise."""
    reason: str | None
    """Why nothing can be said; null where something can."""


class Validation(View):
    """What a spec would train."""

    object: Literal["training.validation"] = "training.validation"
    spec: dict[str, Any]
    """With every default filled in."""
    parameters: int
    """Number of trainable values."""
    layers: list[Layer]
    """In the order in which the data passes them."""
    warnings: list[Warned] = []
    """What is possible and seldom meant; a job with warnings is accepted."""
    memory: Memory
    """An estimate, right to a factor of two or so."""
    duration: Duration
    """An estimate, where there is anything to go by."""


class Kind(View):
    """One thing that a family of the spec offers."""

    kind: str
    """What the spec calls it."""
    summary: str
    """What it is, in a sentence or two."""
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    """JSON Schema of its fields, with defaults and bounds."""


class KnownDataset(View):
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


class RefusedPair(View):
    """An optimizer and a penalty, each at its defaults, that cannot be had together."""

    optimizer: str
    """The kind of `optimizer`."""
    penalty: str
    """The kind in `penalties`."""
    apply: str | None
    """Its `apply`, where the penalty can act in several ways; null where it has none."""
    code: str
    """Of the fault that a spec with both has."""
    reason: str
    """Why they mean nothing together, and what to take instead."""


class Uploads(View):
    """What `POST /v1/datasets` takes, for jobs on data of your own (`"dataset": {"kind": "uploaded", …}`)."""

    href: str = "/v1/datasets"
    """Where data sets are sent, and where yours are listed."""
    formats: list[str] = ["npz", "idx", "images"]
    """A numpy archive of `x` and `y`, a zip of IDX files, a zip of class folders of PNG or JPEG images."""
    max_bytes: int
    """Of a file, as it is sent and unpacked."""


class Capabilities(View):
    """Everything that a spec may ask for here."""

    object: Literal["capabilities"] = "capabilities"
    families: dict[str, list[Kind]]
    """By the field of the spec: `model`, `optimizer`, `penalties` and so on."""
    spec: dict[str, Any]
    """JSON Schema of a whole job spec."""
    datasets: list[KnownDataset]
    """What `dataset` can name, with the shape of each unless the spec says another."""
    uploads: Uploads
    """What may be sent to train on."""
    devices: list[str]
    """Of the workers heard of lately."""
    refusals: list[RefusedPair] = []
    """Pairs of kinds that a spec is refused for, all of them; what depends on more than two kinds is told by `/v1/jobs/validate`."""

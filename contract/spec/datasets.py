"""The data a network may be trained on, and the shape of each, known before a byte is read."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from contract.spec.base import Count, Fraction, HeldOut, Seed, Spec, Text

Targets = Literal["classes", "real"]
Share = Annotated[float, Field(ge=0, le=1)]
Side = Annotated[int, Field(ge=1, le=65_536)]


@dataclass(frozen=True, slots=True)
class Shape:
    """One sample and its target: `channels` x `height` x `width` pixels, and `outputs` classes or real values."""

    channels: int
    height: int
    width: int
    outputs: int
    targets: Targets

    @property
    def features(self) -> int:
        """Numbers in one row: channels x height x width."""
        return self.channels * self.height * self.width


class Augment(Spec):
    """What is done to the training images anew in each epoch: one draw for each image, decided by seed, epoch and row alone.

    As torchvision's RandomCrop, RandomHorizontalFlip and RandomErasing in this order, each off unless asked for. Validation and
    test images are left as they are.
    """

    flip: Share = 0.0
    """Probability that an image is mirrored left to right; 0.5 is usual where left and right mean the same."""
    crop: Annotated[int, Field(ge=0, le=64)] = 0
    """Pixels of black added on each border, from which a window of the original size is cut at random; 4 is usual for 32 x 32."""
    erase: Share = 0.0
    """Probability that a rectangle of 2 to 33 % of the area, of an aspect between 0.3 and 3.3, is set to the channel's mean
    (Zhong et al., AAAI 2020)."""


class _Dataset(Spec):
    kind: str
    validation_fraction: HeldOut = 0.1
    """Share of the labelled training rows held out, drawn by the job's seed; 0 holds out none."""
    label_noise: Share = 0.0
    """Share of the labels, of the rows to train and to validate on, replaced by another class, each other class being as likely:
    round(share·rows) of them, drawn by the job's seed. The test rows stay clean."""
    missing_labels: HeldOut = 0.0
    """Share of the same labels that is taken away, drawn by the job's seed. Rows without a label (-1) are left out everywhere."""
    missing_pixels: Fraction = 0.0
    """Probability with which each pixel of the same rows is lost, drawn once by the job's seed: all its channels become the mean,
    rounded to a byte, of what the training rows have left there. The test rows stay whole."""
    augment: Augment | None = None
    """What is done to the training images anew in each epoch; null does nothing."""


PREPARATION = frozenset(_Dataset.model_fields) | {"name"}
"""The fields that every data set has and that change none of its bytes."""


class Builtin(_Dataset):
    """A known data set by name. Looked for as IDX files in the data folder, then in the system's package folder, then in
    the subset shipped with Ridgeline; the job's lineage names which one was used, its SHA-256 and its row counts."""

    kind: Literal["builtin"] = "builtin"
    name: Literal["fashion_mnist"] = "fashion_mnist"
    """Fashion-MNIST: 28 x 28 grey images of clothes in 10 classes (Xiao, Rasul, Vollgraf, 2017)."""

    def shape(self) -> Shape:
        """That of a row of the data; each of its kinds has one, which models are planned by."""
        return Shape(channels=1, height=28, width=28, outputs=10, targets="classes")


class Fake(_Dataset):
    """Random images around one seeded pattern per class (or a seeded linear map for real targets): learnable, small and
    the same on every machine. For tests and first steps."""

    kind: Literal["fake"] = "fake"
    name: Text = "fake"
    """A label of your own for the lineage."""
    train_rows: Count = 512
    """Rows to train and to validate on."""
    test_rows: Count = 128
    """Rows for the final measure."""
    channels: Annotated[int, Field(ge=1, le=16)] = 1
    """Values of each pixel."""
    height: Annotated[int, Field(ge=1, le=256)] = 28
    """Pixels."""
    width: Annotated[int, Field(ge=1, le=256)] = 28
    """Pixels."""
    outputs: Annotated[int, Field(ge=1, le=1000)] = 10
    """Number of classes, or of real target values."""
    targets: Targets = "classes"
    """What is learnt: one of `outputs` classes, or `outputs` real values."""
    noise: Annotated[float, Field(ge=0, le=100)] = 1.0
    """Standard deviation of the pixel noise; the class patterns have standard deviation 1."""
    data_seed: Seed = 0
    """Decides patterns, rows and noise; apart from the seed of the job."""

    def shape(self) -> Shape:
        return Shape(self.channels, self.height, self.width, self.outputs, self.targets)


TEST_FRACTION = 0.1
"""Of the rows of an uploaded set that brings none to test on."""


class Resolved(Spec):
    """What is known of an uploaded set: which bytes it has, and what a network meets in them."""

    name: Text
    """As it was uploaded."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Of its content, as the data set's `sha256`."""
    channels: Side
    """Values of each pixel."""
    height: Side
    """Pixels."""
    width: Annotated[int, Field(ge=1, le=1_000_000)]
    """Pixels, or the number of features where a row is a list of them."""
    outputs: Annotated[int, Field(ge=1, le=1000)]
    """Number of classes, or of real target values."""
    targets: Targets
    """`classes` or `real`."""
    train_rows: Annotated[int, Field(ge=1)]
    """Rows to train and to validate on, those without a label among them."""
    unlabelled_rows: Annotated[int, Field(ge=0)]
    """Of these, the rows without a label."""
    test_rows: Annotated[int, Field(ge=0)]
    """Rows to test on; 0 where the set brings none, and some of the others are taken for it."""


class Uploaded(_Dataset):
    """A data set of your own, sent to POST /v1/datasets before."""

    kind: Literal["uploaded"] = "uploaded"
    id: Annotated[str, Field(pattern=r"^ds_[0-9a-z]{26}$", examples=["ds_01kaj3v2m4n5p6q7r8s9t0v1w2"])]
    """The data set's `id`."""
    test_fraction: Annotated[float, Field(gt=0, le=0.9)] | None = None
    """Share of the labelled rows kept for the final measure, drawn by the job's seed; for a set that brings no test rows. null is 0.1
    there."""
    normalize: bool | None = None
    """Whether each channel (each feature, where a row is a list of real ones) is brought to mean 0 and standard deviation 1 by the
    training rows. null does so for bytes, and leaves real values as they are; `false` only brings bytes to [0, 1]."""
    resolved: Resolved | None = None
    """Filled in by the service from the data set. What is sent here is replaced, so that a job's spec can be posted back as it is."""

    @property
    def name(self) -> str:
        """What the lineage calls it."""
        return self._known().name

    def shape(self) -> Shape:
        known = self._known()
        return Shape(known.channels, known.height, known.width, known.outputs, known.targets)

    def training_rows(self) -> int:
        """Rows with a label that are left to train and to validate on. Not above 0 where the test takes them all."""
        known = self._known()
        labelled = known.train_rows - known.unlabelled_rows
        return labelled if known.test_rows else labelled - held_out(labelled, self.test_fraction or TEST_FRACTION)

    def _known(self) -> Resolved:
        if self.resolved is None:
            raise ValueError(f"data set {self.id} is not resolved: the service fills in what is known of it")
        return self.resolved


Dataset = Annotated[Builtin | Fake | Uploaded, Field(discriminator="kind")]


def held_out(rows: int, fraction: float) -> int:
    """How many of the training rows are held out for validation: one at least, so that asking for some never gives none."""
    return max(round(rows * fraction), 1) if fraction > 0 else 0


def share_of(rows: int, fraction: float) -> int:
    """How many of so many rows a fraction of them is."""
    return round(rows * fraction)

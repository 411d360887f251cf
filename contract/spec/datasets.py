"""The data a network may be trained on, and the shape of each, known before a byte is read."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from contract.spec.base import Count, Fraction, HeldOut, Seed, Spec, Text

Targets = Literal["classes", "real"]
Share = Annotated[float, Field(ge=0, le=1)]


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
    name: str
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


PREPARATION = frozenset(_Dataset.model_fields)
"""The fields that every data set has and that change none of its bytes."""


class Builtin(_Dataset):
    """A known data set by name. Looked for as IDX files in the data folder, then in the system's package folder, then in
    the subset shipped with Ridgeline; the job's lineage names which one was used, its SHA-256 and its row counts."""

    kind: Literal["builtin"] = "builtin"
    name: Literal["fashion_mnist"] = "fashion_mnist"
    """Fashion-MNIST: 28 x 28 grey images of clothes in 10 classes (Xiao, Rasul, Vollgraf, 2017)."""

    def shape(self) -> Shape:
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


Dataset = Annotated[Builtin | Fake, Field(discriminator="kind")]


def held_out(rows: int, fraction: float) -> int:
    """How many of the training rows are held out for validation: one at least, so that asking for some never gives none."""
    return max(round(rows * fraction), 1) if fraction > 0 else 0


def share_of(rows: int, fraction: float) -> int:
    """How many of so many rows a fraction of them is."""
    return round(rows * fraction)

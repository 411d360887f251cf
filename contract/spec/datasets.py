"""The data a network may be trained on, and the shape of each, known before a byte is read."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from contract.spec.base import Count, HeldOut, Seed, Spec, Text

Targets = Literal["classes", "real"]


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


class Builtin(Spec):
    """A known data set by name. Looked for as IDX files in the data folder, then in the system's package folder, then in
    the subset shipped with Ridgeline; the job's lineage names which one was used, its SHA-256 and its row counts."""

    kind: Literal["builtin"] = "builtin"
    name: Literal["fashion_mnist"] = "fashion_mnist"
    """Fashion-MNIST: 28 x 28 grey images of clothes in 10 classes (Xiao, Rasul, Vollgraf, 2017)."""
    validation_fraction: HeldOut = 0.1
    """Share of the training rows held out, drawn by the job's seed; 0 holds out none."""

    def shape(self) -> Shape:
        return Shape(channels=1, height=28, width=28, outputs=10, targets="classes")


class Fake(Spec):
    """Random images around one seeded pattern per class (or a seeded linear map for real targets): learnable, small and
    the same on every machine. For tests and first steps."""

    kind: Literal["fake"] = "fake"
    name: Text = "fake"
    """A label of your own for the lineage."""
    train_rows: Count = 512
    test_rows: Count = 128
    channels: Annotated[int, Field(ge=1, le=16)] = 1
    height: Annotated[int, Field(ge=1, le=256)] = 28
    width: Annotated[int, Field(ge=1, le=256)] = 28
    outputs: Annotated[int, Field(ge=1, le=1000)] = 10
    """Number of classes, or of real target values."""
    targets: Targets = "classes"
    noise: Annotated[float, Field(ge=0, le=100)] = 1.0
    """Standard deviation of the pixel noise; the class patterns have standard deviation 1."""
    data_seed: Seed = 0
    validation_fraction: HeldOut = 0.1
    """Share of the training rows held out, drawn by the job's seed; 0 holds out none."""

    def shape(self) -> Shape:
        return Shape(self.channels, self.height, self.width, self.outputs, self.targets)


Dataset = Annotated[Builtin | Fake, Field(discriminator="kind")]


def held_out(rows: int, fraction: float) -> int:
    """How many of the training rows are held out for validation: one at least, so that asking for some never gives none."""
    return max(round(rows * fraction), 1) if fraction > 0 else 0

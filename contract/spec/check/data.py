"""Whether the data set can be drawn and split, and whether the loss can be taken on its targets."""

from collections.abc import Iterator

from contract.spec import JobSpec, datasets
from contract.spec.datasets import Fake, Shape
from contract.spec.faults import Fault

MAX_FAKE_VALUES = 200_000_000


def faults(spec: JobSpec) -> Iterator[Fault]:
    """Too much fake data, no rows left to train on, or a loss that does not fit the targets."""
    data = spec.dataset
    if isinstance(data, Fake):
        yield from _fake(data)
    yield from _loss(spec, data.shape())


def _fake(data: Fake) -> Iterator[Fault]:
    rows = data.train_rows + data.test_rows + data.outputs  # a pattern for each class, or a map for each real target
    values = rows * data.shape().features + (rows * data.outputs if data.targets == "real" else 0)
    if values > MAX_FAKE_VALUES:
        yield Fault(
            ("dataset",), "too_large", f"{values:,} values of fake data; {MAX_FAKE_VALUES:,} at most: take fewer rows or smaller images"
        )
    held_out = datasets.held_out(data.train_rows, data.validation_fraction)
    if held_out >= data.train_rows:
        yield Fault(
            ("dataset", "validation_fraction"),
            "no_training_rows",
            f"holding out {held_out} of {data.train_rows} rows leaves none to train on; take a smaller fraction",
        )


def _loss(spec: JobSpec, data: Shape) -> Iterator[Fault]:
    kind = spec.loss.kind
    if spec.loss.needs_classes and data.targets == "real":
        yield Fault(("loss", "kind"), "loss_misfit", f"{kind} needs class targets and this data set has real ones; use half_mse")
    if spec.loss.needs_classes and data.targets == "classes" and data.outputs < 2:
        yield Fault(("dataset", "outputs"), "loss_misfit", f"{kind} over one class is 0 whatever the weights; give 2 classes or more")

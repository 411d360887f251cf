"""Whether the data set can be drawn and split, and whether the loss can be taken on its targets."""

from collections.abc import Iterator

from contract.spec import JobSpec, datasets
from contract.spec.datasets import Dataset, Fake, Shape, Uploaded
from contract.spec.faults import Fault

MAX_FAKE_VALUES = 200_000_000


def faults(spec: JobSpec) -> Iterator[Fault]:
    """Too much fake data, no rows left to train on, flaws or augmentation that the rows cannot take, or a loss that misfits the targets."""
    data = spec.dataset
    if isinstance(data, Fake):
        yield from _fake(data)
        yield from _rows_left(data, data.train_rows)
    if isinstance(data, Uploaded):
        yield from _uploaded(data)
    yield from _label_flaws(data)
    yield from _augment(data)
    yield from _loss(spec, data.shape())


def _fake(data: Fake) -> Iterator[Fault]:
    rows = data.train_rows + data.test_rows + data.outputs  # a pattern for each class, or a map for each real target
    values = rows * data.shape().features + (rows * data.outputs if data.targets == "real" else 0)
    if values > MAX_FAKE_VALUES:
        yield Fault(
            ("dataset",), "too_large", f"{values:,} values of fake data; {MAX_FAKE_VALUES:,} at most: take fewer rows or smaller images"
        )


def _uploaded(data: Uploaded) -> Iterator[Fault]:
    if data.test_fraction is not None and data.resolved and data.resolved.test_rows:
        message = f"this data set brings {data.resolved.test_rows:,} test rows of its own; drop test_fraction"
        yield Fault(("dataset", "test_fraction"), "has_test_rows", message)
    if (rows := data.training_rows()) > 0:
        yield from _rows_left(data, rows)
    else:
        message = "the test takes every row that has a label and leaves none to train on; take a smaller fraction, or upload more rows"
        yield Fault(("dataset", "test_fraction"), "no_training_rows", message)


def _rows_left(data: Dataset, rows: int) -> Iterator[Fault]:
    labelled = rows - datasets.share_of(rows, data.missing_labels)
    held_out = datasets.held_out(labelled, data.validation_fraction)
    if labelled == 0:
        message = f"taking {data.missing_labels:g} of {rows} labels away leaves none to train on; take a smaller share"
        yield Fault(("dataset", "missing_labels"), "no_training_rows", message)
    elif held_out >= labelled:
        message = f"holding out {held_out} of {labelled} rows leaves none to train on; take a smaller fraction"
        yield Fault(("dataset", "validation_fraction"), "no_training_rows", message)


def _label_flaws(data: Dataset) -> Iterator[Fault]:
    shape = data.shape()
    for field in ("label_noise", "missing_labels"):
        if getattr(data, field) > 0 and shape.targets == "real":
            yield Fault(("dataset", field), "targets_misfit", f"{field} is for classes and this data set has real targets; drop it")
    if data.label_noise > 0 and shape.targets == "classes" and shape.outputs < 2:
        yield Fault(("dataset", "label_noise"), "targets_misfit", "a single class has no other to be mistaken for; drop label_noise")


def _augment(data: Dataset) -> Iterator[Fault]:
    shape = data.shape()
    if data.augment and data.augment.crop >= min(shape.height, shape.width):
        size = f"{shape.height} x {shape.width}"
        message = f"a window out of {data.augment.crop} pixels of padding may miss an image of {size} altogether; take fewer"
        yield Fault(("dataset", "augment", "crop"), "crop_misfit", message)


def _loss(spec: JobSpec, data: Shape) -> Iterator[Fault]:
    kind = spec.loss.kind
    if spec.loss.needs_classes and data.targets == "real":
        yield Fault(("loss", "kind"), "loss_misfit", f"{kind} needs class targets and this data set has real ones; use half_mse")
    if spec.loss.needs_classes and data.targets == "classes" and data.outputs < 2:
        yield Fault(("dataset", "outputs"), "loss_misfit", f"{kind} over one class is 0 whatever the weights; give 2 classes or more")

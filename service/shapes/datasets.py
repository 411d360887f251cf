"""An uploaded data set as a client sees it, and lists of them."""

from typing import Literal

from service.shapes.base import Page, Time, View


class DatasetClass(View):
    """One class of a data set."""

    index: int
    """What the targets call it."""
    name: str | None
    """The name of its folder; null where the upload numbers its classes."""
    train_rows: int
    """Rows of it to train and to validate on."""
    test_rows: int
    """Rows of it to test on."""


class DatasetLinks(View):
    """Where to read on."""

    self: str
    """The data set itself."""


class Dataset(View):
    """A data set that was uploaded, checked and kept."""

    object: Literal["dataset"] = "dataset"
    id: str
    """What `dataset.id` of a job spec names; sorts by time of upload."""
    name: str
    """As it was uploaded."""
    format: str
    """What was uploaded: `npz`, `idx` or `images`."""
    sha256: str
    """Of its content in the form it is kept in: equal content has an equal one, however it was packed."""
    size_bytes: int
    """Of its content."""
    shape: list[int]
    """Of one row: channels, height, width."""
    dtype: str
    """Of its values: `uint8`, `float32` or `float64`."""
    targets: str
    """`classes` or `real`."""
    outputs: int
    """Number of classes, or of real target values."""
    train_rows: int
    """Rows to train and to validate on."""
    unlabelled_rows: int
    """Of these, the rows whose class is missing (-1)."""
    test_rows: int
    """Rows to test on; 0 where a job draws them from the others by `test_fraction`."""
    classes: list[DatasetClass] | None
    """How many rows each class has; null for real targets."""
    created_at: Time
    """When it was uploaded."""
    links: DatasetLinks
    """Paths on this server."""


class DatasetList(Page[Dataset]):
    """Uploaded data sets, newest first."""

"""Where a known data set is found on this machine."""

import os
from dataclasses import dataclass
from pathlib import Path

from contract.spec import datasets
from worker.training import idx
from worker.training.faults import DataInvalidError
from worker.training.rows import Raw

_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@dataclass(frozen=True)
class Source:
    """Four whole files of one folder."""

    kind: str
    """`data_folder`, `system_package` or `shipped_subset`."""
    files: tuple[Path, ...]
    stamps: tuple[tuple[int, int], ...]
    """Size and time of change of each file, so that a set replaced on disk is read anew."""


def resolve(dataset: datasets.Builtin) -> tuple[Source, list[str]]:
    """The first complete folder of: the data folder, the system package, the subset shipped with Ridgeline.

    A folder with some of the four files is passed over with a warning. Raises DataInvalidError where none is complete.
    """
    warnings: list[str] = []
    for kind, folder in _folders(dataset.name):
        found = [idx.find(folder, name) for name in _FILES]
        whole = tuple(path for path in found if path)
        if len(whole) == len(_FILES):
            return Source(kind, whole, tuple((path.stat().st_size, path.stat().st_mtime_ns) for path in whole)), warnings
        if whole:
            missing = [name for name, path in zip(_FILES, found, strict=True) if path is None]
            warnings.append(f"{folder} lacks {', '.join(missing)} and was passed over")
    looked = ", ".join(str(folder) for _, folder in _folders(dataset.name))
    raise DataInvalidError(
        f"{dataset.name} is not on this worker; looked in {looked}",
        f"Put {', '.join(_FILES)} (plain or .gz) into RIDGELINE_DATA_FOLDER/{dataset.name}, or install the package dataset-fashion-mnist.",
    )


def read(source: Source, dataset: datasets.Builtin) -> Raw:
    """The four files, checked against one another and against the data set's shape."""
    train_images, train_labels, test_images, test_labels = source.files
    shape = dataset.shape()
    parts = []
    for images_path, labels_path in ((train_images, train_labels), (test_images, test_labels)):
        images, labels = idx.read(images_path, 3), idx.read(labels_path, 1, idx.LABELS)
        if tuple(images.shape[1:]) != (shape.height, shape.width):
            raise _fault(images_path, f"holds images of {tuple(images.shape[1:])} where {dataset.name} has {shape.height} x {shape.width}")
        if len(images) != len(labels):
            raise _fault(labels_path, f"holds {len(labels):,} labels for {len(images):,} images")
        for label in (int(labels.min()), int(labels.max())):
            if not -1 <= label < shape.outputs:
                classes = f"classes 0 to {shape.outputs - 1}, and -1 for a missing label"
                raise _fault(labels_path, f"holds the label {label}; {dataset.name} has {classes}")
        parts += [images.unsqueeze(1), labels]
    return Raw.of(source.kind, *parts)


def _folders(name: str) -> list[tuple[str, Path]]:
    own = os.environ.get("RIDGELINE_DATA_FOLDER")
    return [
        *([("data_folder", Path(own) / name)] if own else []),
        ("system_package", Path("/usr/share/datasets") / name.replace("_", "-")),
        ("system_package", Path("/usr/share/datasets") / name),
        ("shipped_subset", Path(__file__).parent / "data" / name),
    ]


def _fault(path: Path, what: str) -> DataInvalidError:
    return DataInvalidError(f"{path} {what}", "Replace the file, or remove its folder so that another source is used.")

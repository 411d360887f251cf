"""Which rows a job trains, validates and tests on, resident on its device and standardised."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

import torch
from torch import Tensor

from contract import events
from contract.spec import datasets
from worker.training import builtin, fake, keys
from worker.training.faults import DataInvalidError
from worker.training.rows import Raw, Rows

_KEPT = 2
_kept: OrderedDict[tuple[object, ...], Raw] = OrderedDict()


@dataclass(frozen=True)
class Data:
    """What a job sees of its data set."""

    lineage: events.Data
    mean: Tensor
    """Of each channel over the training rows, in [0, 255]: subtracted from every pixel."""
    std: Tensor
    """Of each channel over the training rows, in [0, 255]: divides every pixel."""
    train: Rows
    validation: Rows | None
    test: Rows


def load(dataset: datasets.Dataset) -> tuple[Raw, list[str]]:
    """The set as raw values on the CPU, and what the user should know about where it was found.

    The last two sets stay in memory for the jobs that follow. Raises DataInvalidError.
    """
    match dataset:
        case datasets.Builtin():
            source, warnings = builtin.resolve(dataset)
            key: tuple[object, ...] = (dataset.name, source)
            return _keep(key, lambda: builtin.read(source, dataset)), warnings
        case datasets.Fake():
            key = (dataset.model_copy(update={"validation_fraction": 0.0}),)
            return _keep(key, lambda: fake.draw(dataset)), []
        case _:
            assert_never(dataset)


def prepare(raw: Raw, dataset: datasets.Dataset, *, seed: int, images_nhwc: bool, dtype: torch.dtype, device: torch.device) -> Data:
    """Splits off the validation rows by `seed`, standardises each channel by the training rows, and moves all to the device."""
    total = len(raw.train_images)
    order = torch.randperm(total, generator=keys.generator(seed, "split"))
    held_out = _held_out(total, dataset.validation_fraction)
    # Sorted, so that a split reads memory forwards and full-batch sums run in file order.
    validation, train = order[:held_out].sort().values, order[held_out:].sort().values
    images = raw.train_images if held_out == 0 else raw.train_images[train]
    mean, std = _moments(images)

    def rows(images: Tensor, targets: Tensor) -> Rows:
        return Rows.of(images, targets, mean, std, images_nhwc=images_nhwc, dtype=dtype, device=device)

    return Data(
        lineage=events.Data(
            name=dataset.name,
            source=raw.source,
            sha256=raw.sha256,
            train_rows=len(train),
            validation_rows=held_out,
            test_rows=len(raw.test_images),
        ),
        mean=mean,
        std=std,
        train=rows(images, raw.train_targets[train]),
        validation=rows(raw.train_images[validation], raw.train_targets[validation]) if held_out else None,
        test=rows(raw.test_images, raw.test_targets),
    )


def forget() -> None:
    """Drops the sets kept for later jobs."""
    _kept.clear()


def _keep(key: tuple[object, ...], make: Callable[[], Raw]) -> Raw:
    if key not in _kept:
        while len(_kept) >= _KEPT:
            _kept.popitem(last=False)
        _kept[key] = make()
    _kept.move_to_end(key)
    return _kept[key]


def _held_out(total: int, fraction: float) -> int:
    """At least one row wherever a fraction is asked for, since a monitor may wait for its loss."""
    held_out = datasets.held_out(total, fraction)
    if held_out >= total:
        raise DataInvalidError(
            f"holding out {held_out} of {total} rows leaves none to train on", "Take a smaller validation_fraction, or more rows."
        )
    return held_out


def _moments(images_NCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel in [0, 255], from exact integer sums: the same on every machine."""
    count = images_NCHW[:, 0].numel()
    sums = torch.zeros(2, images_NCHW.shape[1], dtype=torch.int64)
    for chunk in torch.split(images_NCHW, 4096):
        wide = chunk.to(torch.int32)
        sums += torch.stack([wide.sum((0, 2, 3)), wide.square_().sum((0, 2, 3))])
    mean, square = sums.double() / count
    std = (square - mean.square()).clamp_min(0).sqrt()
    # A channel without contrast stays at 0 instead of becoming 0/0.
    return mean, torch.where(std > 0, std, 1.0)

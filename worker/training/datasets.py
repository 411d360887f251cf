"""Which rows a job trains, validates and tests on, resident on its device and standardised."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, assert_never

import torch
from torch import Tensor

from contract import events
from contract.spec import datasets
from worker.training import builtin, fake, flaws, keys, uploaded
from worker.training.faults import DataInvalidError
from worker.training.rows import Raw, Rows, lay, moment_dimensions, sums

_KEPT = 2
_kept: OrderedDict[tuple[object, ...], Raw] = OrderedDict()


@dataclass(frozen=True)
class Data:
    """What a job sees of its data set."""

    lineage: events.Data
    mean: Tensor
    """Of each channel (or feature) over the training rows, in the units of the data set: subtracted from every value."""
    std: Tensor
    """Of the same: divides every value."""
    train: Rows
    validation: Rows | None
    test: Rows


def load(dataset: datasets.Dataset, folder: Path | None = None) -> tuple[Raw, list[str]]:
    """The set as raw values on the CPU, and what the user should know about where it was found. `folder` holds an uploaded one.

    The last two sets stay in memory for the jobs that follow. Raises DataInvalidError.
    """
    match dataset:
        case datasets.Builtin():
            source, warnings = builtin.resolve(dataset)
            key: tuple[object, ...] = (dataset.name, source)
            return _keep(key, lambda: builtin.read(source, dataset)), warnings
        case datasets.Fake():
            key = (dataset.model_dump_json(exclude=set(datasets.PREPARATION)),)
            return _keep(key, lambda: fake.draw(dataset)), []
        case datasets.Uploaded():
            key = (dataset.kind, dataset.resolved and dataset.resolved.sha256)
            return _keep(key, lambda: uploaded.read(dataset, folder)), []
        case _:
            assert_never(dataset)


def prepare(raw: Raw, dataset: datasets.Dataset, *, seed: int, images_nhwc: bool, dtype: torch.dtype, device: torch.device) -> Data:
    """What the job's spec makes of the set, on the device: rows without a label left out, the flaws asked for put in, validation
    rows (and test rows, where an uploaded set brings none) split off by `seed`, and each channel standardised by the training rows.

    Raises DataInvalidError where no row is left to train or to test on.
    """
    raw = _tested(raw, dataset, seed)
    targets = flaws.labels(raw.train_targets, dataset, seed)
    labelled, test = _labelled(targets, "training"), _labelled(raw.test_targets, "test")
    train, validation = _split(labelled, dataset.validation_fraction, seed)
    train_images = flaws.pixels(raw.train_images, train, dataset, seed)
    mean, std = _scale(train_images, train, dataset, raw)
    train_whole, test_whole = raw.laid(device, nhwc=images_nhwc)
    if train_images is not raw.train_images:
        train_whole = lay(train_images, device, nhwc=images_nhwc)
    channels, height, width = train_images.shape[1:]

    def rows(whole: Tensor, targets: Tensor, chosen: Tensor) -> Rows:
        return Rows.of(whole, chosen, targets, mean, std, image=(channels, height, width), nhwc=images_nhwc, dtype=dtype)

    return Data(
        lineage=events.Data(
            name=dataset.name,
            source=raw.source,
            sha256=raw.sha256,
            train_rows=len(train),
            validation_rows=len(validation),
            test_rows=len(test),
            unlabelled_rows=len(targets) - len(labelled) + len(raw.test_targets) - len(test),
        ),
        mean=mean,
        std=std,
        train=rows(train_whole, targets, train),
        validation=rows(train_whole, targets, validation) if len(validation) else None,
        test=rows(test_whole, raw.test_targets, test),
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


def _tested(raw: Raw, dataset: datasets.Dataset, seed: int) -> Raw:
    """The set with test rows, drawn from the labelled ones of an uploaded set that brings none."""
    if not isinstance(dataset, datasets.Uploaded) or len(raw.test_targets):
        return raw
    # Before any flaw is put in: a test is taken on what is true.
    labelled = _labelled(raw.train_targets, "uploaded")
    _, test = _split(labelled, dataset.test_fraction or datasets.TEST_FRACTION, seed, "test_split")
    is_rest = torch.ones(len(raw.train_targets), dtype=torch.bool)
    is_rest[test] = False
    images, targets = raw.train_images, raw.train_targets
    return replace(raw, train_images=images[is_rest], train_targets=targets[is_rest], test_images=images[test], test_targets=targets[test])


def _labelled(targets: Tensor, what: str) -> Tensor:
    """The numbers of the rows that have a label. Real targets are never missing."""
    if targets.is_floating_point():
        return torch.arange(len(targets))
    rows = targets.ge(0).nonzero().view(-1)
    if not len(rows):
        raise DataInvalidError(
            f"none of the {len(targets)} {what} rows has a label", "Give some of them a class; -1 says that it is missing."
        )
    return rows


def _split(rows: Tensor, fraction: float, seed: int, purpose: Literal["split", "test_split"] = "split") -> tuple[Tensor, Tensor]:
    """Rows to train and to validate (or to test) on: of the latter one at least where a fraction is asked for, since a monitor may wait for its loss."""
    total, held_out = len(rows), datasets.held_out(len(rows), fraction)
    if held_out >= total:
        raise DataInvalidError(f"holding out {held_out} of {total} rows leaves none to train on", "Take a smaller fraction, or more rows.")
    order = torch.randperm(total, generator=keys.generator(seed, purpose))
    # Sorted, so that a split reads memory forwards and full-batch sums run in file order.
    return rows[order[held_out:].sort().values], rows[order[:held_out].sort().values]


def _scale(images_NCHW: Tensor, train: Tensor, dataset: datasets.Dataset, raw: Raw) -> tuple[Tensor, Tensor]:
    """What is subtracted from each channel and what divides it, for the rows `train` of the images, which are those of `raw` or were
    made from them."""
    normalize = dataset.normalize if isinstance(dataset, datasets.Uploaded) else None
    none = torch.zeros(images_NCHW.shape[1], dtype=torch.float64)
    if images_NCHW.is_floating_point():
        return _real_moments(images_NCHW if len(train) == len(images_NCHW) else images_NCHW[train]) if normalize else (none, none + 1)
    if normalize is False:
        return none, none + 255
    found = raw.train_sums if images_NCHW is raw.train_images else sums(images_NCHW)
    return _moments(found[train], images_NCHW[0, 0].numel())


def _real_moments(images_NCHW: Tensor) -> tuple[Tensor, Tensor]:
    """The same as `_moments` of real values, in two passes: what they are about may be far from 0."""
    dimensions = moment_dimensions(images_NCHW)
    count = images_NCHW[0].numel() * len(images_NCHW) // (images_NCHW.shape[3] if 1 in dimensions else images_NCHW.shape[1])
    sums = [chunk.sum(dimensions, keepdim=True, dtype=torch.float64) for chunk in torch.split(images_NCHW, 4096)]
    mean = torch.stack(sums).sum(0) / count
    squares = [(chunk.double() - mean).square_().sum(dimensions) for chunk in torch.split(images_NCHW, 4096)]
    std = (torch.stack(squares).sum(0) / count).sqrt()
    return mean.flatten(), torch.where(std > 0, std, 1.0)


def _moments(sums: Tensor, pixels: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel in [0, 255], from the exact `rows.sums` of images of so many pixels: the same on every
    machine."""
    mean, square = sums.sum(0).double() / (len(sums) * pixels)
    std = (square - mean.square()).clamp_min(0).sqrt()
    # A channel without contrast stays at 0 instead of becoming 0/0.
    return mean, torch.where(std > 0, std, 1.0)

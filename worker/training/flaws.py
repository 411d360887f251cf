"""What a spec spoils in its training file before it is split: labels taken away or exchanged, pixels lost.

Which rows and pixels are hit depends on the job's seed and their place in the file alone; a larger share hits the same ones and more.
"""

import torch
from torch import Tensor

from contract.spec import datasets
from worker.training import keys
from worker.training.rows import moment_dimensions

_CHUNK = 4096


def labels(targets: Tensor, dataset: datasets.Dataset, seed: int) -> Tensor:
    """The classes [n] of `targets` as int64, first without those that go missing (-1), then with the noise. Real targets stay."""
    shape = dataset.shape()
    if shape.targets == "real":
        return targets
    found = targets.to(torch.int64, copy=True)
    taken = _labelled(found, dataset.missing_labels, keys.generator(seed, "missing_labels"))
    found[taken] = -1
    generator = keys.generator(seed, "label_noise")
    # Drawn for every row, so that a row turns to the same class whatever the share.
    turns = torch.randint(1, max(shape.outputs, 2), found.shape, generator=generator)
    noisy = _labelled(found, dataset.label_noise, generator)
    found[noisy] = (found[noisy] + turns[noisy]) % shape.outputs
    return found


def pixels(images_NCHW: Tensor, train: Tensor, dataset: datasets.Dataset, seed: int) -> Tensor:
    """The images with each pixel missing that the seed draws: set in all channels to the mean of what the rows `train` have left there."""
    if dataset.missing_pixels == 0:
        return images_NCHW
    rows, _, height, width = images_NCHW.shape
    generator = keys.generator(seed, "missing_pixels")
    lost_N1HW = torch.empty((rows, 1, height, width), dtype=torch.bool)
    for part in torch.split(lost_N1HW, _CHUNK):
        part.copy_(torch.rand(part.shape, generator=generator) < dataset.missing_pixels)
    blank = images_NCHW.masked_fill(lost_N1HW, 0)
    is_real = images_NCHW.is_floating_point()
    over = moment_dimensions(images_NCHW) if is_real else (0, 2, 3)
    left = lost_N1HW[train].logical_not_().sum(over, keepdim=True).clamp_min(1)  # all may be lost of a tiny set
    mean = blank[train].sum(over, keepdim=True, dtype=torch.float64 if is_real else torch.int64).double().div(left)
    return torch.where(lost_N1HW, (mean if is_real else mean.round()).to(images_NCHW.dtype), blank)


def _labelled(classes: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
    """The rows that make up `fraction` of those with a label."""
    rows = classes.ge(0).nonzero().view(-1)
    return rows[torch.randperm(len(rows), generator=generator)[: datasets.share_of(len(rows), fraction)]]

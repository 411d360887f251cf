"""What a fake data set holds: drawn with integers and exact float64 steps alone, so that every machine draws the same bytes.

A draw is the sum of four uniform bytes, centred: close to normal, and free of the logarithms and cosines whose last bits depend
on the instruction set.
"""

import torch
from torch import Tensor

from contract.spec import datasets
from worker.training import keys
from worker.training.rows import Raw

_DRAWS = 4
_MIDDLE = _DRAWS * 255 // 2
_SPREAD = (_DRAWS * (256**2 - 1) / 12) ** 0.5
_CHUNK = 4096


def draw(dataset: datasets.Fake) -> Raw:
    """The set that `dataset` describes, decided by its `data_seed`."""
    generator = keys.generator(dataset.data_seed, "patterns")
    shape = (dataset.channels, dataset.height, dataset.width)
    patterns = _normal((dataset.outputs, *shape), generator)
    train = _rows(dataset, dataset.train_rows, patterns, keys.generator(dataset.data_seed, "train"))
    test = _rows(dataset, dataset.test_rows, patterns, keys.generator(dataset.data_seed, "test"))
    return Raw.of("generated", *train, *test)


def _rows(dataset: datasets.Fake, count: int, patterns: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    images, targets = [], []
    for start in range(0, count, _CHUNK):
        rows = min(_CHUNK, count - start)
        if dataset.targets == "classes":
            classes = torch.randint(dataset.outputs, (rows,), generator=generator)
            clean = patterns[classes]
            targets.append(classes)
        else:
            clean = _normal((rows, *patterns.shape[1:]), generator)
            targets.append(_mapped(clean, patterns))
        images.append(_pixels(clean, dataset.noise, generator))
    return torch.cat(images), torch.cat(targets)


def _pixels(clean: Tensor, noise: float, generator: torch.Generator) -> Tensor:
    """Bytes around 128 with a standard deviation of 32, whatever the noise, so that nearly none is cut off."""
    mixed = clean if noise == 0 else clean + noise * _normal(tuple(clean.shape), generator)
    scale = 32 / (_SPREAD * (1 + noise**2) ** 0.5)
    pixels: Tensor = mixed * scale + 128
    return pixels.round_().clamp_(0, 255).to(torch.uint8)


def _mapped(clean: Tensor, maps: Tensor) -> Tensor:
    """One linear map of the clean image per output, of variance about 1. The products are whole numbers, so no order of summing shows."""
    products: Tensor = clean.flatten(1) @ maps.flatten(1).T
    return products.div_(_SPREAD**2 * maps[0].numel() ** 0.5).to(torch.float32)


def _normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Whole numbers of mean 0 and standard deviation `_SPREAD`, as float64."""
    total: Tensor = torch.zeros(shape, dtype=torch.float64)
    for _ in range(_DRAWS):
        total += torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    total -= _MIDDLE
    return total

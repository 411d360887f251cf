"""What is done to the training images of an epoch: one draw for each row, by generators keyed by (seed, purpose, epoch).

torchvision's transforms draw once for a whole batch, and from global state. Here a row's draw depends on seed, epoch and row alone:
it is the same in whatever batch the row comes and however often the job was interrupted. The pixels are those of
torchvision.transforms.v2.functional's crop of the padded image, horizontal_flip and erase with that row's draw.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import log

import torch
import torch.nn.functional as F
from torch import Tensor

from contract.spec.datasets import Augment
from worker.training import keys

_SCALE = (0.02, 0.33)
_RATIO = (0.3, 3.3)
_ATTEMPTS = 10

Layout = tuple[int, int, int, int]
"""How a flat row lies in memory, as (a, height, width, b): a or b is the number of channels, the other is 1."""


@dataclass(frozen=True)
class Draws:
    """What happens to each of n rows; None where the spec asks for none of it."""

    padding: int
    corner: Tensor | None
    """[n, 2]: top and left of the window in the padded image."""
    flip: Tensor | None
    """[n]: whether the window is mirrored left to right."""
    box: Tensor | None
    """[n, 4]: top, left, height and width of the rectangle to erase, in the image after all else; 0 x 0 where none is."""

    def take(self, indices: Tensor) -> "Draws":
        """Those of the rows `indices`."""
        return self._each(lambda part: part.index_select(0, indices))

    def to(self, device: torch.device) -> "Draws":
        """The same on `device`."""
        return self._each(lambda part: part.to(device))

    def _each(self, do: Callable[[Tensor], Tensor]) -> "Draws":
        return Draws(self.padding, *(None if part is None else do(part) for part in (self.corner, self.flip, self.box)))


def draw(augment: Augment, rows: int, height: int, width: int, *, seed: int, epoch: int) -> Draws:
    """The draws of an epoch for so many rows, on the CPU so that they do not depend on the device."""
    corner = flip = box = None
    if augment.crop:
        corner = torch.randint(2 * augment.crop + 1, (rows, 2), generator=keys.generator(seed, "crop", epoch))
    if augment.flip:
        flip = torch.rand(rows, generator=keys.generator(seed, "flip", epoch)) < augment.flip
    if augment.erase:
        box = _boxes(augment.erase, rows, height, width, keys.generator(seed, "erase", epoch))
    return Draws(augment.crop, corner, flip, box)


def move(flat: Tensor, draws: Draws, layout: Layout) -> Tensor:
    """Crops and flips bytes [n, a·height·width·b] with one gather; border pixels that a crop lets in are black."""
    if draws.corner is None and draws.flip is None:
        return flat
    outer, height, width, inner = layout
    images = flat.view(-1, *layout)
    # [n, height] and [n, width]: which line and which column of its image each one shows.
    lines, columns = (torch.arange(size, device=flat.device).expand(len(flat), -1) for size in (height, width))
    if draws.flip is not None:
        columns = torch.where(draws.flip.unsqueeze(1), width - 1 - columns, columns)
    if draws.corner is not None:
        images = F.pad(images, (0, 0, *[draws.padding] * 4))
        lines, columns = lines + draws.corner[:, :1], columns + draws.corner[:, 1:]
    pixels = (lines * images.shape[3]).unsqueeze(2) + columns.unsqueeze(1)
    index = pixels.view(-1, 1, height * width, 1).expand(-1, outer, -1, inner)
    return images.flatten(2, 3).gather(2, index).view(len(flat), -1)


def erase(images_NCHW: Tensor, draws: Draws) -> Tensor:
    """Sets each row's rectangle of standardised images to 0, which is the channel's mean, in place."""
    if draws.box is None:
        return images_NCHW
    height, width = images_NCHW.shape[2:]
    start, length = draws.box.view(-1, 2, 2, 1).unbind(1)
    # [n, 2, longer side], so that lines and columns are asked in one go.
    beyond = torch.arange(max(height, width), device=start.device) - start
    inside = (beyond >= 0) & (beyond < length)
    return images_NCHW.masked_fill_(inside[:, :1, :height, None] & inside[:, 1:, None, :width], 0)


def _boxes(probability: float, rows: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """torchvision's RandomErasing for each row: the first of ten rectangles that is smaller than the image, at any place in it."""
    hit, down, right = torch.rand(3, rows, generator=generator, dtype=torch.float64)
    found = torch.full((2, rows), -1)
    for _ in range(_ATTEMPTS):
        share, skew = torch.rand(2, rows, generator=generator, dtype=torch.float64)
        area = (share * (_SCALE[1] - _SCALE[0]) + _SCALE[0]) * (height * width)
        ratio = (skew * (log(_RATIO[1]) - log(_RATIO[0])) + log(_RATIO[0])).exp()
        tried = torch.stack([area * ratio, area / ratio]).sqrt().round().long()
        fits = (tried[0] < height) & (tried[1] < width) & (found[0] < 0)
        found = torch.where(fits, tried, found)
    tall, wide = found.where(hit < probability, 0).clamp_min(0)
    top, left = (down * (height - tall + 1)).long(), (right * (width - wide + 1)).long()
    return torch.stack([top, left, tall, wide], 1)

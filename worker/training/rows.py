"""How a set lies in memory: raw bytes as they were found, and rows as a network takes them."""

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import torch
from torch import Tensor

from worker.training import augment

# Below this a layout of a set stays on its device between jobs.
_KEPT_BYTES = 1 << 30
# Images whose sums are taken at a time: 256 of 28 x 28 in float64 fit a core's cache.
_SUMMED = 256


def moment_dimensions(images_NCHW: Tensor) -> tuple[int, ...]:
    """Over which dimensions real values share a mean: all but the channel's, or the feature's where a row is a list of them."""
    _, channels, height, _ = images_NCHW.shape
    return (0, 1, 2) if channels == height == 1 else (0, 2, 3)


@dataclass(frozen=True)
class Raw:
    """A data set as found: images [n, channels, height, width] of uint8 or real values; targets of whole numbers, or real ones
    [n, outputs].

    A class of -1 is a label that is missing.
    """

    source: str
    sha256: str
    """Of train images, train targets, test images and test targets, in this order, as raw little-endian values; of an uploaded set
    that of its files."""
    train_images: Tensor
    train_targets: Tensor
    test_images: Tensor
    test_targets: Tensor

    @classmethod
    def of(cls, source: str, train_images: Tensor, train_targets: Tensor, test_images: Tensor, test_targets: Tensor) -> "Raw":
        digest = sha256()
        for part in (train_images, train_targets, test_images, test_targets):
            digest.update(part.contiguous().numpy().data)
        return cls(source, digest.hexdigest(), train_images, train_targets, test_images, test_targets)

    @cached_property
    def train_sums(self) -> Tensor:
        """`sums` of the training images, for as long as the set is kept: what jobs of every split take their moments from."""
        return sums(self.train_images)

    def laid(self, device: torch.device, *, nhwc: bool) -> tuple[Tensor, Tensor]:
        """Train and test images as `Rows.whole`. The layout last asked for is kept with the set for the next job, unless it is large."""
        key = (device, nhwc)
        if key not in self._layouts:
            self._layouts.clear()
            made = lay(self.train_images, device, nhwc=nhwc), lay(self.test_images, device, nhwc=nhwc)
            if sum(part.nbytes for part in made) > _KEPT_BYTES:
                return made
            self._layouts[key] = made
        return self._layouts[key]

    @cached_property
    def _layouts(self) -> dict[tuple[torch.device, bool], tuple[Tensor, Tensor]]:
        return {}


def sums(bytes_NCHW: Tensor) -> Tensor:
    """Of each image and channel the sum of its bytes and of their squares, [n, 2, channels] of int64.

    Summed in float64, which is exact below 2^53, and six times as fast as whole numbers.
    """
    found = []
    for part in torch.split(bytes_NCHW, _SUMMED):
        wide = part.flatten(2).double()
        found.append(torch.stack([wide.sum(2), wide.square_().sum(2)], 1))
    return torch.cat(found).long()


def lay(images_NCHW: Tensor, device: torch.device, *, nhwc: bool) -> Tensor:
    """The images as `Rows.whole` on the device; not a copy where they lie so already."""
    images = images_NCHW.to(device)
    return (images.permute(0, 2, 3, 1) if nhwc else images).flatten(1).contiguous()


@dataclass(frozen=True)
class Rows:
    """Rows on a device, as they were found, mostly bytes; a batch is one index_select of whole rows, standardised there.

    Bytes are a quarter of the memory and of the traffic of floats, and what augmentation moves about; standardising a batch of
    64 costs 27 microseconds of a step of 20 milliseconds. A row lies flat because index_select on a two-dimensional tensor copies
    whole rows, while on a channels_last one it falls back to an element-wise path.
    """

    whole: Tensor
    """[m, channels·height·width] of uint8 or real values, these rows and perhaps others; each in the order height, width, channels if
    `nhwc`, else channels, height, width."""
    chosen: Tensor | None
    """[n] numbers of these rows in `whole`; None where they are all of it. So a set is shared by the jobs and parts that use it."""
    targets: Tensor
    """[n] of classes (int64) or [n, outputs] of real values."""
    mean: Tensor
    """[1, channels, 1, 1], or [1, 1, 1, features], subtracted from every value; its type is that of the images a network takes."""
    std: Tensor
    """Of the same shape, divides every value."""
    image: tuple[int, int, int]
    """Channels, height, width."""
    nhwc: bool

    @classmethod
    def of(
        cls,
        whole: Tensor,
        chosen: Tensor,
        targets: Tensor,
        mean: Tensor,
        std: Tensor,
        *,
        image: tuple[int, int, int],
        nhwc: bool,
        dtype: torch.dtype,
    ) -> "Rows":
        """The rows `chosen` of `whole`, and of `targets` [m], for a network of type `dtype` on the device of `whole`."""
        device, along = whole.device, (1, -1, 1, 1) if len(mean) == image[0] else (1, 1, 1, -1)
        mean, std = (moment.to(device, dtype).view(along) for moment in (mean, std))
        wanted = targets[chosen].to(device, dtype if targets.is_floating_point() else torch.int64)
        return cls(whole, None if len(chosen) == len(whole) else chosen.to(device), wanted, mean, std, image, nhwc)

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def flat(self) -> Tensor:
        """[n, channels·height·width]: these rows of `whole` alone, a copy unless they are all of it."""
        return self.whole if self.chosen is None else self.whole.index_select(0, self.chosen)

    def take(self, indices: Tensor, draws: augment.Draws | None = None) -> tuple[Tensor, Tensor]:
        """Images [b, channels, height, width] (in channels_last memory if `nhwc`) and targets of the rows `indices`.

        `draws` has one draw for each row of the set; the images of a network's training are augmented by those of `indices`.
        """
        places = indices if self.chosen is None else self.chosen.index_select(0, indices)
        flat, targets = self.whole.index_select(0, places), self.targets.index_select(0, indices)
        if draws is None:
            return self._images(flat), targets
        chosen = draws.take(indices)
        return augment.erase(self._images(augment.move(flat, chosen, self._layout)), chosen), targets

    def between(self, start: int, end: int) -> tuple[Tensor, Tensor]:
        """The same for the rows from `start` until before `end`, as they are."""
        part = slice(start, end)
        flat = self.whole[part] if self.chosen is None else self.whole.index_select(0, self.chosen[part])
        return self._images(flat), self.targets[part]

    @property
    def _layout(self) -> augment.Layout:
        channels, height, width = self.image
        return (1, height, width, channels) if self.nhwc else (channels, height, width, 1)

    def _images(self, flat: Tensor) -> Tensor:
        channels, height, width = self.image
        # A copy also where the type is right already: what follows works in place.
        values = flat.to(self.mean.dtype, copy=True)
        images = values.view(-1, height, width, channels).permute(0, 3, 1, 2) if self.nhwc else values.view(-1, channels, height, width)
        return images.sub_(self.mean).div_(self.std)

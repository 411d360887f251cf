"""How a set lies in memory: raw bytes as they were found, and rows as a network takes them."""

from dataclasses import dataclass
from hashlib import sha256

import torch
from torch import Tensor

from worker.training import augment


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


@dataclass(frozen=True)
class Rows:
    """Rows on a device, as they were found, mostly bytes; a batch is one index_select of whole rows, standardised there.

    Bytes are a quarter of the memory and of the traffic of floats, and what augmentation moves about; standardising a batch of
    64 costs 27 microseconds of a step of 20 milliseconds. A row lies flat because index_select on a two-dimensional tensor copies
    whole rows, while on a channels_last one it falls back to an element-wise path.
    """

    flat: Tensor
    """[n, channels·height·width] of uint8 or real values, each row in the order height, width, channels if `nhwc`, else channels, height, width."""
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
        images_NCHW: Tensor,
        targets: Tensor,
        mean: Tensor,
        std: Tensor,
        *,
        images_nhwc: bool,
        dtype: torch.dtype,
        device: torch.device,
    ) -> "Rows":
        channels, height, width = images_NCHW.shape[1:]
        images = images_NCHW.to(device)
        flat = (images.permute(0, 2, 3, 1) if images_nhwc else images).flatten(1).contiguous()
        along = (1, -1, 1, 1) if len(mean) == channels else (1, 1, 1, -1)
        mean, std = (moment.to(device, dtype).view(along) for moment in (mean, std))
        wanted = dtype if targets.is_floating_point() else torch.int64
        return cls(flat, targets.to(device, wanted), mean, std, (channels, height, width), images_nhwc)

    def __len__(self) -> int:
        return len(self.flat)

    def take(self, indices: Tensor, draws: augment.Draws | None = None) -> tuple[Tensor, Tensor]:
        """Images [b, channels, height, width] (in channels_last memory if `nhwc`) and targets of the rows `indices`.

        `draws` has one draw for each row of the set; the images of a network's training are augmented by those of `indices`.
        """
        flat, targets = self.flat.index_select(0, indices), self.targets.index_select(0, indices)
        if draws is None:
            return self._images(flat), targets
        chosen = draws.take(indices)
        return augment.erase(self._images(augment.move(flat, chosen, self._layout)), chosen), targets

    def between(self, start: int, end: int) -> tuple[Tensor, Tensor]:
        """The same for the rows from `start` until before `end`, as they are."""
        return self._images(self.flat[start:end]), self.targets[start:end]

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

"""Where randomness comes from: a generator of its own for each (seed, purpose, index), so that none has a state to save.

A key is the first 63 bits of BLAKE2b over the parts joined by a NUL, hence the same on every machine and in every version.
"""

from hashlib import blake2b
from typing import Literal

import torch

Purpose = Literal[
    "split", "test_split", "weights", "order", "dropout", "patterns", "train", "test",
    "label_noise", "missing_labels", "missing_pixels", "flip", "crop", "erase", "spectral",
]  # fmt: skip


def derive(seed: int, purpose: Purpose, index: int = 0) -> int:
    """A number in [0, 2^63) that stands for `purpose` number `index` (an epoch, a step) under `seed`."""
    text = "\0".join((str(seed), purpose, str(index)))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) >> 1


def generator(seed: int, purpose: Purpose, index: int = 0) -> torch.Generator:
    """A generator on the CPU, so that what it draws does not depend on the device."""
    return torch.Generator().manual_seed(derive(seed, purpose, index))

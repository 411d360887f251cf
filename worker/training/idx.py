"""What an IDX file holds: a strict reader of the format that MNIST and its kin are published in.

Two zero bytes, the type (0x08: unsigned bytes, 0x09, 0x0b and 0x0c: signed integers of 8, 16 and 32 bits), the number of
dimensions, each dimension as a big-endian uint32, the values, big-endian too (http://yann.lecun.com/exdb/mnist/). Anything else, a byte too few or too many included, is a DataInvalidError.
"""

import gzip
import zlib
from math import prod
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import torch
from torch import Tensor

from worker.training.faults import DataInvalidError

BYTES = {0x08: "u1"}
"""Pixels: unsigned bytes."""
LABELS = BYTES | {0x09: "i1", 0x0B: ">i2", 0x0C: ">i4"}
"""Classes: signed types too, so that -1 can stand for a label that is missing."""
# A header may claim anything; this is far above any image set and far below what would exhaust the machine.
_MAX_VALUES = 2**31


def find(folder: Path, name: str) -> Path | None:
    """The file `name` in `folder`, plain or with `.gz`; None when there is neither."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def read(path: Path, dimensions: int, types: dict[int, str] = BYTES) -> Tensor:
    """The values in the file's own type, one of `types`, shaped as the header says, which must have so many `dimensions`."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return _values(cast("BinaryIO", file), path, dimensions, types)
    except (OSError, EOFError, zlib.error) as error:
        raise _fault(path, f"cannot be read ({error})") from error


def _values(file: BinaryIO, path: Path, dimensions: int, types: dict[int, str]) -> Tensor:
    header = file.read(4 + 4 * dimensions)
    if len(header) < 4 + 4 * dimensions:
        raise _fault(path, f"ends within its header, after {len(header)} bytes")
    if header[:2] != b"\0\0":
        raise _fault(path, f"begins with {header[:2].hex()} where an IDX file has 0000")
    if header[2] not in types:
        known = ", ".join(f"0x{code:02x}" for code in types)
        raise _fault(path, f"holds values of type 0x{header[2]:02x}; only whole numbers of type {known} are known here")
    if header[3] != dimensions:
        raise _fault(path, f"has {header[3]} dimensions where {dimensions} are expected")
    shape = [int.from_bytes(header[at : at + 4]) for at in range(4, len(header), 4)]
    if not 0 < prod(shape) <= _MAX_VALUES:
        raise _fault(path, f"claims the shape {shape}, which is empty or beyond {_MAX_VALUES:,} values")
    stored = np.dtype(types[header[2]])
    # One byte more than promised: a file that goes on is as wrong as one that ends early.
    content = bytearray(file.read(prod(shape) * stored.itemsize + 1))
    if len(content) != prod(shape) * stored.itemsize:
        found = "more" if len(content) > prod(shape) * stored.itemsize else f"only {len(content) // stored.itemsize:,}"
        raise _fault(path, f"promises {prod(shape):,} values of shape {shape} and holds {found}")
    return torch.from_numpy(np.frombuffer(content, stored).astype(stored.newbyteorder("<"), copy=False)).view(shape)


def _fault(path: Path, what: str) -> DataInvalidError:
    return DataInvalidError(f"{path} {what}", "Replace the file by a whole one, or remove its folder so that another source is used.")

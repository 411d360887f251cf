"""What an array file claims, believed only where the file has just the bytes for it: .npy and IDX."""

from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import Final

import numpy as np

from service.intake.refusal import Refused

IDX_TYPES: Final = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""By the code in the third byte (http://yann.lecun.com/exdb/mnist/)."""
_MOST_DIMENSIONS: Final = 4
_MOST_HEADER: Final = 4096


def npy(path: Path, name: str) -> np.ndarray:
    """The array in a .npy file, read only as it is looked at. Raises Refused."""
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, is_fortran, dtype = read(file, max_header_size=_MOST_HEADER)
            start = file.tell()
    except (ValueError, TypeError, EOFError, SyntaxError, TokenError, MemoryError, RecursionError) as error:
        raise Refused("broken_array", f"'{name}' has no header that can be read; write it with numpy.savez", name) from error
    if dtype.hasobject or dtype.names or dtype.subdtype:
        raise Refused("pickled", f"'{name}' holds Python objects, which are never unpickled; make it an array of numbers", name)
    return _mapped(path, name, dtype, shape, start, order="F" if is_fortran else "C")


def idx(path: Path, name: str) -> np.ndarray:
    """The array in an IDX file. Raises Refused."""
    with path.open("rb") as file:
        header = file.read(4 + 4 * _MOST_DIMENSIONS)
    if len(header) < 4 or header[:2] != b"\0\0" or header[2] not in IDX_TYPES or not 1 <= header[3] <= _MOST_DIMENSIONS:
        raise Refused("broken_array", f"'{name}' does not begin as an IDX file of 1 to {_MOST_DIMENSIONS} dimensions does", name)
    start = 4 + 4 * header[3]
    shape = tuple(int.from_bytes(header[at : at + 4], "big") for at in range(4, start, 4))
    return _mapped(path, name, np.dtype(IDX_TYPES[header[2]]), shape, start)


def _mapped(path: Path, name: str, dtype: "np.dtype", shape: tuple[int, ...], start: int, order: str = "C") -> np.ndarray:
    """Raises Refused unless the file has as many bytes as shape and type ask for, and at least one."""
    held, asked = path.stat().st_size - start, prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or held != asked:
        raise Refused(
            "lying_header", f"'{name}' promises {asked:,} bytes of values and holds {max(held, 0):,}; it is cut off or made up", name
        )
    if asked == 0:
        raise Refused("empty", f"'{name}' has the shape {list(shape)}, which holds nothing", name)
    return np.memmap(path, dtype, "r", start, shape, order)  # type: ignore[call-overload,no-any-return]

"""How some rows of one tensor are read out of a stored safetensors file, and nothing else of it.

The format (https://github.com/huggingface/safetensors): 8 bytes with the length of a JSON header, the header, the tensors' bytes. It is
read here and not by its library, which wants the whole file on a disk and stays in the training room.
"""

import json
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Final

from contract.artifacts import Artifacts
from contract.errors import ArtifactCorruptError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

MAX_HEADER_BYTES: Final = 4 << 20
MAX_ROW_BYTES: Final = 64 << 20
_LENGTH: Final = 8
_BYTES: Final = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of floats in a file: what it is called, its shape, and where its bytes begin."""

    name: str
    kind: str
    shape: tuple[int, ...]
    start: int

    @property
    def row_bytes(self) -> int:
        """Bytes of one row along its first axis."""
        return prod(self.shape[1:]) * _BYTES[self.kind]


def listed(artifacts: Artifacts, key: str) -> list[Tensor]:
    """The tensors of floats in the file, by name. Raises NotFoundError, and ArtifactCorruptError for what is no such file."""
    size = int.from_bytes(_read(artifacts, key, 0, _LENGTH), "little")
    if not 2 <= size <= MAX_HEADER_BYTES:
        raise ArtifactCorruptError(f"{key} is no safetensors file: its header would have {size} bytes")
    try:
        header = json.loads(_read(artifacts, key, _LENGTH, _LENGTH + size))
        found = [_tensor(name, entry, _LENGTH + size) for name, entry in header.items() if name != "__metadata__"]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ArtifactCorruptError(f"{key} is no safetensors file: {error!r}") from error
    return sorted((tensor for tensor in found if tensor.kind in _BYTES), key=lambda tensor: tensor.name)


def rows(artifacts: Artifacts, key: str, tensor: Tensor, count: int) -> "Floats":
    """The first `count` rows of a tensor at most, as [rows, ...]; fewer where they would be too large to hold."""
    import numpy as np

    count = min(count, tensor.shape[0], max(1, MAX_ROW_BYTES // max(1, tensor.row_bytes)))
    held = _read(artifacts, key, tensor.start, tensor.start + count * tensor.row_bytes)
    shape = (count, *tensor.shape[1:])
    match tensor.kind:
        case "BF16":
            # The upper half of a float32.
            return (np.frombuffer(held, "<u2").astype("<u4") << 16).view("<f4").reshape(shape).astype(np.float32)
        case kind:
            return np.frombuffer(held, {"F64": "<f8", "F32": "<f4", "F16": "<f2"}[kind]).reshape(shape).astype(np.float32)


def _tensor(name: str, entry: dict[str, Any], begin: int) -> Tensor:
    return Tensor(name, str(entry["dtype"]), tuple(int(size) for size in entry["shape"]), begin + int(entry["data_offsets"][0]))


def _read(artifacts: Artifacts, key: str, start: int, end: int) -> bytes:
    found = b"".join(artifacts.read(key, start, end))
    if len(found) != end - start:
        raise ArtifactCorruptError(f"{key} ends after {start + len(found)} bytes, before its byte {end}")
    return found

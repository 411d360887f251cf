"""The one form in which a data set is kept: .npy files of fixed types, so that equal content has equal bytes."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from service.intake import meaning


def write(kept: dict[str, np.ndarray], classes: list[str] | None, folder: Path) -> tuple[str, list[dict[str, Any]]]:
    """The arrays as `NAME.npy` in `folder`, and the names of the classes, if any. Returns the digest of the whole, and the files."""
    files = [_array(array, folder / f"{name}.npy") for name, array in sorted(kept.items())]
    if classes:
        files.append(_bytes(json.dumps(classes, ensure_ascii=True).encode(), folder / "classes.json"))
    listed = "".join(f"{file['sha256']}  {file['name']}\n" for file in sorted(files, key=lambda file: str(file["name"])))
    return sha256(listed.encode()).hexdigest(), files


def _array(array: np.ndarray, path: Path) -> dict[str, Any]:
    stored = np.dtype(meaning.stored(array))
    digest = sha256()
    step = meaning.chunk_rows(array)
    with path.open("xb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": stored.str, "fortran_order": False, "shape": array.shape})
    with path.open("r+b") as file:
        digest.update(file.read())
        for start in range(0, len(array), step):
            piece = np.ascontiguousarray(array[start : start + step], stored).tobytes()
            digest.update(piece)
            file.write(piece)
        size = file.tell()
    return {"name": path.name, "size_bytes": size, "sha256": digest.hexdigest()}


def _bytes(content: bytes, path: Path) -> dict[str, Any]:
    path.write_bytes(content)
    return {"name": path.name, "size_bytes": len(content), "sha256": sha256(content).hexdigest()}

"""What the check of uploads makes of a file, asked in this process."""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.intake import canonical, formats, meaning
from service.intake.refusal import Refused

Json = dict[str, Any]
Kept = dict[str, np.ndarray]


def taken(body: bytes, most: int = 10**9) -> tuple[Kept, Json]:
    """The arrays as they are kept, with `classes` among the facts as a list of names. Raises Refused, as the check does."""
    with tempfile.TemporaryDirectory() as name:
        upload, found, kept = Path(name, "upload"), Path(name, "found"), Path(name, "kept")
        upload.write_bytes(body)
        found.mkdir(), kept.mkdir()
        parts = formats.read(upload, found, most)
        arrays, facts = meaning.check(parts)
        canonical.write(arrays, parts.classes, kept)
        names = kept / "classes.json"
        assert parts.classes == (json.loads(names.read_text()) if names.exists() else None)
        return {path.stem: np.load(path) for path in kept.glob("*.npy")}, facts | {"format": parts.format}


def faults(body: bytes, most: int = 10**9) -> list[tuple[str, list[str | int]]]:
    """Code and path of everything that is wrong with an upload."""
    with pytest.raises(Refused) as refused:
        taken(body, most)
    return [(fault["code"], fault["path"]) for fault in refused.value.faults]

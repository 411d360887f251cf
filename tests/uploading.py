"""What tests upload: small numpy archives, and the header they come with."""

import io
from typing import Any, Final

import numpy as np

OCTETS: Final = {"Content-Type": "application/octet-stream"}


def npz(seed: int = 0, rows: int = 30, **arrays: Any) -> bytes:
    """An archive of these arrays, or of `rows` rows of three classes drawn by `seed`."""
    rng = np.random.default_rng(seed)
    file = io.BytesIO()
    np.savez_compressed(file, **(arrays or {"x": rng.normal(size=(rows, 4)), "y": np.arange(rows) % 3}))
    return file.getvalue()

"""How what JSON, or a database's JSON, cannot hold is written: non-finite numbers as one of three strings, everywhere the same."""

import math
from typing import Any

Number = float | str
"""A finite number, or "NaN", "Infinity", "-Infinity"."""


def to_json(value: Any) -> Any:
    """`value` with every non-finite float in it, however deep, replaced by its string, and every NUL, which PostgreSQL does not
    store, by the sign of a character that could not be shown."""
    match value:
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case str():
            return value.replace("\x00", "\ufffd")
        case dict():
            return {key: to_json(inner) for key, inner in value.items()}
        case list() | tuple():
            return [to_json(inner) for inner in value]
    return value

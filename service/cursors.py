"""What a cursor of a list holds: where the next page begins, and which filters and order the first one had."""

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from contract.errors import BadCursorError

_MAX_LENGTH: Final = 1024

Place = TypeVar("Place")


def encode(place: Sequence[str | int], filters: Any) -> str:
    """An opaque cursor to what comes after `place` under these filters: any JSON that differs where they or the order do."""
    text = json.dumps([*place, _digest(filters)], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(cursor: str, filters: Any, place_of: Callable[[list[Any]], Place | None]) -> Place:
    """Where the next page begins: what `place_of` makes of what was encoded, None of what no list of its kind encodes.

    Raises BadCursorError for what no list gave out, or not under these filters.
    """
    *found, digest = _read(cursor)
    place = place_of(found)
    if place is None:
        raise _of_no_list()
    if digest != _digest(filters):
        raise BadCursorError("the cursor belongs to a list with other filters or another order; repeat those of its first page")
    return place


def _read(cursor: str) -> list[Any]:
    try:
        padded = cursor[:_MAX_LENGTH].encode("ascii") + b"=" * (-len(cursor) % 4)
        found = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        raise _of_no_list() from None
    if not isinstance(found, list) or not found:
        raise _of_no_list()
    return found


def _of_no_list() -> BadCursorError:
    return BadCursorError("no list gave out this cursor; take next_cursor as it is, or begin without one")


def _digest(filters: Any) -> str:
    return hashlib.sha256(json.dumps(filters).encode()).hexdigest()[:16]

"""What a cursor of a list holds: where the next page begins, and which filters and order the first one had."""

import base64
import hashlib
import json
import re

from contract.errors import BadCursorError
from contract.store.listing import Place

_JOB_ID = re.compile(r"job_[0-9a-z]{26}")
_MAX_LENGTH = 1024


def encode(place: Place, filters: str) -> str:
    """An opaque cursor to what comes after `place` under these filters, which are told by any text that differs where they do."""
    text = json.dumps([place.priority, place.id, _digest(filters)], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(cursor: str, filters: str) -> Place:
    """Where the next page begins. Raises BadCursorError for what no list gave out, or not under these filters."""
    place, digest = _read(cursor)
    if digest != _digest(filters):
        raise BadCursorError("the cursor belongs to a list with other filters or another order; repeat those of its first page")
    return place


def _read(cursor: str) -> tuple[Place, object]:
    try:
        padded = cursor[:_MAX_LENGTH].encode("ascii") + b"=" * (-len(cursor) % 4)
        match json.loads(base64.b64decode(padded, altchars=b"-_", validate=True)):
            case [int(priority), str(job_id), digest] if abs(priority) <= 100 and _JOB_ID.fullmatch(job_id):
                return Place(priority, job_id), digest
    except (ValueError, RecursionError):
        pass  # told below, with the cursors that decode to something else
    raise BadCursorError("no list gave out this cursor; take next_cursor as it is, or begin without one")


def _digest(filters: str) -> str:
    return hashlib.sha256(filters.encode()).hexdigest()[:16]

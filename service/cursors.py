"""What a cursor of a list holds: where the next page begins and which filters the first one had."""

import base64
import json
import re
from collections.abc import Sequence

from contract.errors import BadCursorError
from contract.job import JobState

_JOB_ID = re.compile(r"job_[0-9a-z]{26}")
_MAX_LENGTH = 1024


def encode(before_id: str, states: Sequence[JobState]) -> str:
    """An opaque cursor to the jobs older than `before_id` in one of `states`."""
    text = json.dumps([before_id, sorted(set(states))], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(cursor: str, states: Sequence[JobState]) -> str:
    """The id that the next page begins after. Raises BadCursorError for what no list gave out, or not under these filters."""
    before_id, filters = _read(cursor)
    if filters != sorted(set(states)):
        raise BadCursorError("the cursor belongs to a list with other filters; repeat the filters of its first page")
    return before_id


def _read(cursor: str) -> tuple[str, object]:
    try:
        padded = cursor[:_MAX_LENGTH].encode("ascii") + b"=" * (-len(cursor) % 4)
        match json.loads(base64.b64decode(padded, altchars=b"-_", validate=True)):
            case [str(before_id), filters] if _JOB_ID.fullmatch(before_id):
                return before_id, filters
    except (ValueError, RecursionError):
        pass  # told below, with the cursors that decode to something else
    raise BadCursorError("no list gave out this cursor; take next_cursor as it is, or begin without one")

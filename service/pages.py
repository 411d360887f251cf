"""How a list of things that sort by their ids is turned: where a page ends, and the cursor to the next, which holds the filters."""

import base64
import json
import re
from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

from contract.errors import BadCursorError

_ID: Final = re.compile(r"[a-z]{1,10}_[0-9a-z]{26}")
_MAX_LENGTH: Final = 1024


class Named(Protocol):
    """Anything with an id."""

    @property
    def id(self) -> str: ...


Item = TypeVar("Item", bound=Named)


def cut(found: Sequence[Item], limit: int, filters: Sequence[str | None]) -> tuple[Sequence[Item], bool, str | None]:
    """What a page shows of what was found, whether there is more, and the cursor to it."""
    shown, more = found[:limit], len(found) > limit
    return shown, more, _encode(shown[-1].id, filters) if more else None


def decode(cursor: str | None, filters: Sequence[str | None]) -> str | None:
    """The id that the page begins after. Raises BadCursorError for what no list gave out, or not under these filters."""
    if cursor is None:
        return None
    before_id, found = _read(cursor)
    if found != [*filters]:
        raise BadCursorError("the cursor belongs to a list with other filters; repeat the filters of its first page")
    return before_id


def _encode(before_id: str, filters: Sequence[str | None]) -> str:
    text = json.dumps([before_id, [*filters]], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read(cursor: str) -> tuple[str, object]:
    try:
        padded = cursor[:_MAX_LENGTH].encode("ascii") + b"=" * (-len(cursor) % 4)
        match json.loads(base64.b64decode(padded, altchars=b"-_", validate=True)):
            case [str(before_id), filters] if _ID.fullmatch(before_id):
                return before_id, filters
    except (ValueError, RecursionError):
        pass  # told below, with the cursors that decode to something else
    raise BadCursorError("no list gave out this cursor; take next_cursor as it is, or begin without one")

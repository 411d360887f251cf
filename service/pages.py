"""How a list of things that sort by their ids is turned: where a page ends, and what its cursor names."""

import re
from collections.abc import Sequence
from typing import Any, Final, Protocol, TypeVar

from service import cursors

_ID: Final = re.compile(r"[a-z]{1,10}_[0-9a-z]{26}")


class Named(Protocol):
    """Anything with an id."""

    @property
    def id(self) -> str:
        """Sorts by the time it was made."""


Item = TypeVar("Item", bound=Named)


def cut(found: Sequence[Item], limit: int, filters: Sequence[str | None]) -> tuple[Sequence[Item], bool, str | None]:
    """What a page shows of what was found, whether there is more, and the cursor to it."""
    shown, more = found[:limit], len(found) > limit
    return shown, more, cursors.encode([shown[-1].id], [*filters]) if more else None


def decode(cursor: str | None, filters: Sequence[str | None]) -> str | None:
    """The id that the page begins after. Raises BadCursorError for what no list gave out, or not under these filters."""
    return None if cursor is None else cursors.decode(cursor, [*filters], _id)


def _id(place: list[Any]) -> str | None:
    match place:
        case [str(found)] if _ID.fullmatch(found):
            return found
    return None

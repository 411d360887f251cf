"""Which bytes of a file a request gets: the whole, a part, nothing new, or none that exist (RFC 9110, sections 13 and 14)."""

import re
from dataclasses import dataclass

from service.errors import RangeError

_RANGE = re.compile(r"\s*bytes\s*=\s*([0-9]{0,18})\s*-\s*([0-9]{0,18})\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes from `start` up to but not with `end`."""

    start: int
    end: int

    @property
    def size(self) -> int:
        """How many bytes."""
        return self.end - self.start


def wanted(header: str | None, size: int) -> Span | None:
    """The part of a file of `size` bytes that a Range header asks for; None for the whole.

    What is no single range of bytes is passed over, as the RFC allows. Raises RangeError for one past the end.
    """
    match = _RANGE.fullmatch(header) if header else None
    if match is None or match.group() == "" or not (match[1] or match[2]):
        return None
    if not match[1]:
        last = min(int(match[2]), size)
        if last == 0:
            raise RangeError(size)
        return Span(size - last, size)
    start, end = int(match[1]), int(match[2]) + 1 if match[2] else size
    if end <= start and match[2]:
        return None
    if start >= size:
        raise RangeError(size)
    return Span(start, min(end, size))


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Whether the client holds the representation with this entity tag already."""
    tags = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return etag in tags or "*" in tags

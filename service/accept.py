"""Which of the forms that a page has a client gets: the one its Accept header likes best (RFC 9110, section 12.5.1)."""

import re
from collections.abc import Sequence

from service.errors import NotAcceptableError

_RANGE = re.compile(r"\s*([a-z0-9!#$&^_.+*-]+)/([a-z0-9!#$&^_.+*-]+)\s*(?:;\s*q\s*=\s*([01](?:\.[0-9]{0,3})?))?\s*(?:;.*)?", re.ASCII)
_MOST = 32


def chosen(header: str | None, offers: Sequence[str]) -> str:
    """The media type to answer with, of `offers`, the first of which goes to whoever does not care.

    Raises NotAcceptableError where the header names types and none of ours. One that cannot be read asks for nothing.
    """
    ranges = [match for part in (header or "").lower().split(",")[:_MOST] if (match := _RANGE.fullmatch(part))]
    if not ranges:
        return offers[0]
    liked = {offer: _quality(offer, ranges) for offer in offers}
    best = max(offers, key=lambda offer: liked[offer])
    if liked[best] == 0:
        raise NotAcceptableError(offers)
    return best


def _quality(offer: str, ranges: Sequence[re.Match[str]]) -> float:
    """How much the most specific range that covers the type likes it: text/csv goes before text/*, and that before */*."""
    kind, _, form = offer.partition("/")
    found = (0, 0.0)
    for match in ranges:
        rank = {(kind, form): 3, (kind, "*"): 2, ("*", "*"): 1}.get((match[1], match[2]), 0)
        if rank:
            found = max(found, (rank, float(match[3] or 1)))
    return found[1]

"""How an upload is refused: every fault with where it lies, what it is and the remedy, the first few of many."""

from collections.abc import Iterator
from typing import Any

MOST = 20
"""Faults told of one kind; the rest is counted."""


class Refused(Exception):  # noqa: N818 - reads as what it is, at every raise and except
    """The upload is no data set. `faults` are `{path, code, message}`."""

    def __init__(self, code: str, message: str, *path: str | int) -> None:
        super().__init__(message)
        self.faults: list[dict[str, Any]] = [fault(code, message, *path)]

    @classmethod
    def of(cls, faults: "Faults") -> "Refused":
        """With several faults at once."""
        refused = cls("invalid", "the upload has faults")
        refused.faults = [*faults]
        return refused


class Faults:
    """Those found so far. Only the first `MOST` are kept, so that a file of a million faults costs no more than one of twenty."""

    def __init__(self) -> None:
        self.count = 0
        self._kept: list[dict[str, Any]] = []

    def add(self, code: str, message: str, *path: str | int) -> None:
        """Note what is wrong at `path` (file, row); all are counted, the first `MOST` are told."""
        self.count += 1
        if len(self._kept) < MOST:
            self._kept.append(fault(code, message, *path))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        yield from self._kept
        if self.count > MOST:
            yield fault("more_faults", f"{self.count - MOST:,} more faults like these")

    def raise_any(self) -> None:
        """Raises Refused if there is one."""
        if self.count:
            raise Refused.of(self)


def fault(code: str, message: str, *path: str | int) -> dict[str, Any]:
    """One thing that is wrong, as the service reads it from this program's output."""
    return {"path": list(path), "code": code, "message": message}


def shown(name: str) -> str:
    """A name from the upload as it may be repeated: without what could forge a line of a log, and not long."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in name[:80])
    return plain + ("…" if len(name) > 80 else "")

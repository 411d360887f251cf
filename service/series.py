"""How points are written as a table and as lines, piece by piece."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Final

from service import shapes

CSV: Final = "text/csv"
LINES: Final = "application/x-ndjson"
FORMS: Final = ("application/json", CSV, LINES)
_ROWS: Final = 500


def csv_rows(points: Sequence[shapes.MetricPoint]) -> Iterator[str]:
    """A header and a row for each point; a metric that a point does not have leaves its cell empty."""
    names = sorted({name for point in points for name in point.values})
    header: list[object] = ["step", "scope", "epoch", "at", *names]
    cells: Iterator[list[object]] = (
        [point.step, point.scope, point.epoch, point.at, *(point.values.get(name, "") for name in names)] for point in points
    )
    return _gathered(map(_row, chain([header], cells)))


def lines(points: Iterable[shapes.MetricPoint]) -> Iterator[str]:
    """A JSON object for each point, one a line."""
    return _gathered(f"{point.model_dump_json()}\n" for point in points)


def _row(cells: Sequence[object]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow(cells)
    return buffer.getvalue()


def _gathered(texts: Iterable[str]) -> Iterator[str]:
    """The same in fewer pieces: each costs a turn of the event loop."""
    held: list[str] = []
    for text in texts:
        held.append(text)
        if len(held) == _ROWS:
            yield "".join(held)
            held.clear()
    yield "".join(held)

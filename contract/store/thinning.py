"""Which of a job's numbers are shown where there are more than can be drawn: first, last, best, and between them evenly by step."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from sqlalchemy import BigInteger, Connection, Select, literal, select

from contract.job import Json
from contract.store.engine import Store
from contract.store.metrics import Point, Scope
from contract.store.tables import metrics

_KEEN_STEPS = 20_000
"""Up to so many steps the best is looked for among all reports; above, among whole epochs alone, of which there are few."""
_PIECE = 500
_SCOPES: tuple[Scope, ...] = ("step", "epoch")
_SHARED = 4
"""Fewer points are not shared out between steps and epochs."""

Bests = Mapping[str, Literal["min", "max"]]
"""Names of metrics whose best points are kept, each with `min` or `max`."""


def thinned(
    store: Store, job_id: str, scope: Scope | None, step_from: int, step_to: int | None, names: Sequence[str], most: int, bests: Bests
) -> list[Point]:
    """At most `most` points that have one of the `names`, or any, with these values alone, in the order of the steps.

    Reads a few times `most` rows however long the series is: where it is too long it is walked in spans of equally many steps.
    """
    with store.read() as connection:
        found = {
            one: _Series(connection, job_id, one, step_from, step_to).shown(most, names, bests) for one in _SCOPES if scope in {None, one}
        }
    steps, epochs = found.get("step", []), found.get("epoch", [])
    # The means of an epoch come after the last of its steps.
    every = sorted([*steps, *epochs], key=lambda point: (point.step, point.scope == "epoch"))
    if len(every) <= most or most < _SHARED:
        return _even(every, most, bests)
    of_epochs = min(len(epochs), max(most // 2, most - len(steps)))
    kept = {(point.step, point.scope) for point in (*_even(steps, most - of_epochs, bests), *_even(epochs, of_epochs, bests))}
    return [point for point in every if (point.step, point.scope) in kept]


class _Series:
    """The rows of one job and scope between two steps."""

    def __init__(self, connection: Connection, job_id: str, scope: Scope, step_from: int, step_to: int | None) -> None:
        self._connection, self._scope = connection, scope
        # In plain words: SQLite takes the index of the epochs only where a query repeats its condition.
        self._mine = (metrics.c.job_id == job_id, metrics.c.scope == literal(scope, literal_execute=True))
        self._within = (*self._mine, metrics.c.step >= step_from, *([] if step_to is None else [metrics.c.step <= step_to]))

    def shown(self, most: int, names: Sequence[str], bests: Bests) -> list[Point]:
        """Its points; where there are more than `most`, some that hold first, last and best and not many more than `most`."""
        found = self._points(select(metrics).where(*self._within).order_by(metrics.c.step).limit(most + 1))
        if len(found) > most:
            first, last = found[0].step, self._last()
            is_scanned = self._scope == "epoch" or last - first <= _KEEN_STEPS
            found = self._at(sorted({last} | self._spread(first, last, most) | (self._best(bests) if is_scanned else set())))
        return [point for each in found if (point := _with(each, names)).values]

    def _last(self) -> int:
        query = select(metrics.c.step).where(*self._within).order_by(metrics.c.step.desc()).limit(1)
        return int(self._connection.execute(query).scalar_one())

    def _spread(self, first: int, last: int, most: int) -> set[int]:
        """From the first step on always the next that was reported a span later: a look into the index for each.

        Twice as many as are wanted are walked and then thinned, since reports seldom lie where a span ends.
        """
        span = max(1, math.ceil((last - first) / (2 * most)))
        walked = select(literal(first, BigInteger).label("step")).cte("walked", recursive=True)
        following = select(metrics.c.step).where(*self._mine, metrics.c.step >= walked.c.step + span, metrics.c.step <= last)
        onward = following.order_by(metrics.c.step).limit(1).correlate(walked).scalar_subquery()
        walked = walked.union_all(select(onward).where(walked.c.step.is_not(None)))
        steps = [step for step in self._connection.execute(select(walked.c.step)).scalars() if step is not None]
        return {steps[index * len(steps) // most] for index in range(most)}

    def _best(self, bests: Bests) -> set[int]:
        rows = self._connection.execute(select(metrics.c.step, metrics.c["values"]).where(*self._within).order_by(metrics.c.step)).all()
        return {rows[index].step for index in _best_among([row[1] for row in rows], bests)}

    def _at(self, steps: Sequence[int]) -> list[Point]:
        pieces = (steps[start : start + _PIECE] for start in range(0, len(steps), _PIECE))
        queries = (select(metrics).where(*self._mine, metrics.c.step.in_(piece)).order_by(metrics.c.step) for piece in pieces)
        return [point for query in queries for point in self._points(query)]

    def _points(self, query: Select[Any]) -> list[Point]:
        return [Point(r["step"], r["scope"], r["epoch"], r["at"], r["values"]) for r in self._connection.execute(query).mappings()]


def _with(point: Point, names: Sequence[str]) -> Point:
    """The point with those of its values that were asked for; all of them where none was."""
    return replace(point, values={name: point.values[name] for name in names if name in point.values}) if names else point


def _even(points: Sequence[Point], most: int, bests: Bests) -> list[Point]:
    """At most so many of the points: the last, the first, the best as far as there is room, and of the others evenly many."""
    if len(points) <= most:
        return list(points)
    kept = list(dict.fromkeys([len(points) - 1, 0, *_best_among([point.values for point in points], bests)]))[:most]
    others, room = [index for index in range(len(points)) if index not in set(kept)], most - len(kept)
    kept += [others[round((index + 0.5) * len(others) / room - 0.5)] for index in range(room)]
    return [points[index] for index in sorted(kept)]


def _best_among(values: Sequence[Json], bests: Bests) -> list[int]:
    """Where the best finite value of each name is. The earlier of two equal ones counts, as it does for checkpoints."""
    found: list[int] = []
    for name, mode in bests.items():
        finite = [index for index, each in enumerate(values) if isinstance(each.get(name), int | float)]
        if finite:
            sign = 1 if mode == "min" else -1
            found.append(min(finite, key=lambda index: sign * values[index][name]))
    return found

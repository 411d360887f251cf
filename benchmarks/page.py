"""How figures are shown: a Markdown table for people, JSON for programs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from benchmarks.figures import Absent, Goal, Row, Spread

_HEAD = "| what | median | middle half | goal | |\n|---|---|---|---|---|"


@dataclass
class Section:
    """What came of one scenario."""

    name: str
    title: str
    rows: list[Row | Absent] = field(default_factory=list)
    failure: str | None = None
    """Why there are no more rows; None where the scenario came to its end."""
    seconds: float = 0.0


def head(machine: Mapping[str, str], size: str, command: str) -> str:
    """The beginning of a page of figures."""
    lines = [f"- {name}: {value}" for name, value in machine.items()]
    return "\n".join([f"# Figures ({size})", "", f"Written by `{command}`; [README.md](README.md) says what each row means.", "", *lines])


def section(made: Section) -> str:
    """One scenario as a heading and a table. A row that misses its goal says so."""
    lines = [f"## {made.name}", "", made.title, ""]
    if made.rows:
        lines += [_HEAD, *(_line(row) for row in made.rows), ""]
    if made.failure:
        lines += [f"**Not measured to the end**: {made.failure}", ""]
    return "\n".join([*lines, f"({made.seconds:.0f} s)"])


def as_json(machine: Mapping[str, str], size: str, sections: Sequence[Section]) -> str:
    """The same figures, unrounded; `is_met` is null where a row has no goal."""
    scenarios = [{**asdict(one), "rows": [_fields(row) for row in one.rows]} for one in sections]
    return json.dumps({"machine": dict(machine), "size": size, "scenarios": scenarios}, indent=1)


def _fields(row: Row | Absent) -> dict[str, object]:
    if isinstance(row, Absent):
        return asdict(row)
    return asdict(row) | {"is_met": row.goal.is_met(row.figure) if row.goal else None}


def _line(row: Row | Absent) -> str:
    if isinstance(row, Absent):
        return f"| {row.what} | absent: {row.why} | | | |"
    beside = "; ".join(f"{name} {number(value)}" for name, value in row.beside.items())
    verdict = "" if row.goal is None else "met" if row.goal.is_met(row.figure) else "**missed**"
    said = ", ".join(filter(None, (verdict, beside)))
    return f"| {row.what} | {number(row.figure.median)} {row.unit} | {_half(row.figure)} | {_goal(row.goal, row.unit)} | {said} |"


def _half(figure: Spread) -> str:
    return f"{number(figure.low)} to {number(figure.high)}"


def _goal(goal: Goal | None, unit: str) -> str:
    return "" if goal is None else f"{goal.bound} {number(goal.value)} {unit}"


def number(value: float) -> str:
    """Three or four digits that count, thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) < 1 else f"{value:.4g}"

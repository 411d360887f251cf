"""One scenario in a process of its own, so that what it imports and warms is no other's: `python -m benchmarks.one NAME SIZE`.

Writes to stdout: what is measured, as one line, and then a line of JSON for each row.
"""

import json
import os
import sys
from dataclasses import asdict

from benchmarks.figures import Absent, Goal, Row, Spread
from benchmarks.scenarios import Size, load


def main(name: str, size: str) -> None:
    """Run it to its end."""
    _forget_surroundings()
    # Whatever a library prints must not be taken for a row.
    told, sys.stdout = sys.stdout, sys.stderr
    scenario = load(name)
    print(scenario.TITLE, file=told)
    for row in scenario.run(Size(size)):
        print(to_line(row), file=told, flush=True)


def to_line(row: Row | Absent) -> str:
    """One line of JSON."""
    return json.dumps({"absent": isinstance(row, Absent), **asdict(row)})


def from_line(line: str) -> Row | Absent:
    """What `to_line` was given."""
    fields = json.loads(line)
    if fields.pop("absent"):
        return Absent(**fields)
    goal = Goal(**fields["goal"]) if fields["goal"] else None
    return Row(**{**fields, "figure": Spread(**fields["figure"]), "goal": goal})


def _forget_surroundings() -> None:
    """A stack that is started here must not take up the database and the broker of the service that this shell works with."""
    for name in [name for name in os.environ if name.startswith("RIDGELINE_") and name != "RIDGELINE_DATA_FOLDER"]:
        del os.environ[name]


if __name__ == "__main__":
    main(*sys.argv[1:])

"""What the engine costs: a step with all that it does around it, over a step of the best loop written by hand."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import figures, lessons
from benchmarks.figures import Goal, Row
from benchmarks.ours import Steps
from benchmarks.peers.handwritten import Loop
from benchmarks.scenarios import Size
from benchmarks.turns import turns

TITLE = "What the engine costs over the best loop written by hand for this one network: some steps of each in turn, in one process."
NEEDS_STACK = False
_ROUNDS = {Size.SMOKE: 2, Size.QUICK: 8, Size.FULL: 60}
_STEPS = {Size.SMOKE: 2, Size.QUICK: 15, Size.FULL: 25}


def run(size: Size) -> Iterator[Row]:
    """Time of the engine's steps over that of the loop's, minus 1."""
    lesson = lessons.fake(256 if size is Size.SMOKE else 6400, epochs=1000)
    steps = _STEPS[size]
    with TemporaryDirectory() as scratch:
        engine, loop = Steps(lesson.spec, Path(scratch) / "run"), Loop(lesson)
        programs: list[Steps | Loop] = [engine, loop]
        engine.take(steps), loop.take(steps)
        costs = []
        for turn in turns(programs, _ROUNDS[size]):
            seconds = {program: program.take(steps) for program in turn}
            costs.append(100 * (seconds[engine] / seconds[loop] - 1))
    yield Row("engine over hand-written loop", figures.spread(costs), "%", Goal("at most", 3))

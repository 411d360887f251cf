"""Ridgeline's engine as one of the programs that are compared: the loop that its trainer runs, without service and checkpoints."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from typing_extensions import override

from benchmarks.lessons import Lesson, Outcome
from contract import events
from contract.spec import JobSpec
from worker.training import build
from worker.training.fit import fit
from worker.training.run import Run
from worker.training.said import Said
from worker.training.saver import Saver

NAME = "Ridgeline's engine"


class Never(Saver):
    """Keeps nothing."""

    @override
    def take(self) -> None:
        self._run.standing.checkpoint_due = False


def absent() -> None:
    """It is always there."""


def train(lesson: Lesson) -> Outcome:
    """From the first step to the numbers of the last epoch."""
    began = ended = 0.0
    with TemporaryDirectory() as scratch:
        run = build.run(lesson.spec, Path(scratch))
        with closing(fit(run, Never(run))) as training:
            for said in training:
                match said:
                    case events.Started():
                        began = perf_counter()
                    case events.EpochDone():
                        ended = perf_counter()
                    case events.Finished(result=result):
                        return Outcome(lesson.samples, ended - began, float(result.metrics["test.accuracy"]))
    raise AssertionError("a training that did not diverge ends with its result")


class Steps:
    """A training that is gone through some steps at a time, so that two of them can be compared in turn."""

    def __init__(self, spec: JobSpec, scratch: Path) -> None:
        scratch.mkdir()
        self._run: Run = build.run(spec, scratch)
        self._going: Iterator[Said] = fit(self._run, Never(self._run))

    def take(self, steps: int) -> float:
        """Seconds that so many more steps take, with all that the engine does around them."""
        goal, began = self._run.step + steps, perf_counter()
        while self._run.step < goal:
            next(self._going)
        return perf_counter() - began

"""What checkpoints cost a job: runs of it without any, with each written while training waits, and as they are written, in turn."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch
from typing_extensions import override

from benchmarks import figures, machine
from benchmarks.figures import Goal, Row
from benchmarks.ours import Never
from benchmarks.scenarios import Size
from benchmarks.turns import turns
from contract import events
from contract.spec import JobSpec
from worker.training import build, checkpoint
from worker.training.fit import fit
from worker.training.saver import Saver

TITLE = "What checkpoints cost: time of a whole training with them over the time without, in turn."
NEEDS_STACK = False
_PAIRS = {Size.SMOKE: 2, Size.QUICK: 2, Size.FULL: 9}
_EPOCHS = {Size.SMOKE: 1, Size.QUICK: 4, Size.FULL: 10}
_TINY_EPOCHS = {Size.SMOKE: 20, Size.QUICK: 400, Size.FULL: 2000}
_TINY = {"kind": "fake", "train_rows": 50, "test_rows": 20, "height": 8, "width": 8, "outputs": 3, "validation_fraction": 0.2}
_DRAWN = {Size.SMOKE: 128, Size.QUICK: 1280}
"""Rows, where images are drawn instead of read."""


class AtOnce(Saver):
    """Has training wait for each."""

    @override
    def take(self) -> None:
        self._written.append(checkpoint.write(self._run))

    @override
    def flush(self) -> Iterator[events.CheckpointWritten]:
        yield from self._news()


_WAYS: dict[str, type[Saver]] = {"without": Never, "while training waits": AtOnce, "as they are written": Saver}


def run(size: Size) -> Iterator[Row]:
    """The tutorial's network with an epoch of seconds, and gradient descent with epochs of about a millisecond."""
    torch.set_num_threads(machine.threads())
    tutorial: dict[str, Any] = {"epochs": _EPOCHS[size], "penalties": [{"kind": "l2", "lambda": 5e-4}]}
    if size in _DRAWN:
        tutorial["dataset"] = {"kind": "fake", "train_rows": _DRAWN[size], "test_rows": 20}
    descent = {"dataset": _TINY, "model": {"kind": "mlp", "hidden": [8]}, "optimizer": {"kind": "gd"}, "epochs": _TINY_EPOCHS[size]}
    yield from _rows("tutorial_cnn", tutorial, _PAIRS[size])
    yield from _rows("gd, epochs of a millisecond", descent, _PAIRS[size])


def _rows(name: str, fields: dict[str, Any], pairs: int) -> Iterator[Row]:
    _timed(fields | {"epochs": 1}, Saver)
    found = [{way: _timed(fields, _WAYS[way]) for way in turn} for turn in turns(list(_WAYS), pairs)]
    without = [one["without"][0] for one in found]
    for way in list(_WAYS)[1:]:
        costs = [100 * (one[way][0] / bare - 1) for one, bare in zip(found, without, strict=True)]
        written = figures.spread([one[way][1] for one in found]).median
        goal = Goal("at most", 2) if _WAYS[way] is Saver else None
        yield Row(f"{name}, {way}", figures.spread(costs), "%", goal, {"checkpoints": written})


def _timed(fields: dict[str, Any], saver: type[Saver]) -> tuple[float, int]:
    """Seconds of the whole run, and how many checkpoints were written."""
    with TemporaryDirectory() as scratch:
        run = build.run(JobSpec.model_validate(fields | {"device": "cpu"}), Path(scratch))
        began = perf_counter()
        written = sum(isinstance(said, events.CheckpointWritten) for said in fit(run, saver(run)))
        return perf_counter() - began, written

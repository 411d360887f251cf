"""What checkpoints cost a job: paired runs of it without any, with each written while training waits, and as they are written now.

    python benchmarks/checkpoints.py [--pairs 5] [--epochs 10] [--tiny-epochs 2000]

Prints, for the tutorial's network on the shipped subset and for gradient descent with epochs of about a millisecond, the median over
pairs of the time each way takes relative to the run without, how many checkpoints were written, and the training thread's own seconds.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from typing_extensions import override

from contract import events
from contract.spec import JobSpec
from worker.training import build, checkpoint
from worker.training.fit import fit
from worker.training.run import Run
from worker.training.saver import Saver

_THREADS = 2
_TINY = {"kind": "fake", "train_rows": 50, "test_rows": 20, "height": 8, "width": 8, "outputs": 3, "validation_fraction": 0.2}


class Never(Saver):
    """Keeps nothing."""

    @override
    def take(self) -> None:
        self._run.standing.checkpoint_due = False


class AtOnce(Saver):
    """Has training wait for each."""

    @override
    def take(self) -> None:
        self._written.append(checkpoint.write(self._run))

    @override
    def flush(self) -> Iterator[events.CheckpointWritten]:
        yield from self._news()


WAYS: dict[str, type[Saver]] = {"without": Never, "at once": AtOnce, "beside": Saver}


def main() -> None:
    """Measures both jobs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--tiny-epochs", type=int, default=2000)
    asked = parser.parse_args()
    torch.set_num_threads(_THREADS)
    tutorial = {"epochs": asked.epochs, "penalties": [{"kind": "l2", "lambda": 5e-4}]}
    descent = {"dataset": _TINY, "model": {"kind": "mlp", "hidden": [8]}, "optimizer": {"kind": "gd"}, "epochs": asked.tiny_epochs}
    for name, fields in (("tutorial_cnn", tutorial), ("gd", descent)):
        _compare(name, fields, asked.pairs)


def _compare(name: str, fields: dict[str, Any], pairs: int) -> None:
    _timed(fields | {"epochs": 1}, Saver)
    found = [{way: _timed(fields, saver) for way, saver in _turned(number)} for number in range(pairs)]
    for way in WAYS:
        ratio = median(one[way][0] / one["without"][0] for one in found)
        seconds, own, written = (median(one[way][index] for one in found) for index in range(3))
        print(
            f"{name:13} {way:8} {seconds:8.2f} s   x {ratio:.4f}   {written:6.0f} checkpoints   {100 * own / seconds:.2f} % of its own time"
        )


def _turned(number: int) -> list[tuple[str, type[Saver]]]:
    """The ways in an order that turns, so that none is always first."""
    ways = list(WAYS.items())
    turn = number % len(ways)
    return ways[turn:] + ways[:turn]


def _timed(fields: dict[str, Any], saver: type[Saver]) -> tuple[float, float, int]:
    """Seconds of the whole run, seconds of the training thread for checkpoints, and how many were written."""
    with tempfile.TemporaryDirectory(prefix="ridgeline-benchmark-") as scratch:
        run: Run = build.run(JobSpec.model_validate(fields), Path(scratch))
        began = perf_counter()
        written = sum(isinstance(said, events.CheckpointWritten) for said in fit(run, saver(run)))
        return perf_counter() - began, run.watch.seconds["checkpoint"], written


if __name__ == "__main__":
    main()

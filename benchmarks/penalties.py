"""What a penalty costs: the processor time of the tutorial's step with it over the time without, in paired runs.

    OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.penalties --rounds 12

Both networks are trained in the same process, in turn, some steps each, so that whatever else the machine does falls on both; the
figure is the median of the rounds' ratios. Nothing else should run beside it. Writes a Markdown table to stdout.
"""

import argparse
import platform
import statistics
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any, get_args

import torch

from contract.spec import JobSpec, penalties
from worker.training import build, precision
from worker.training.fit import fit
from worker.training.run import Run

BATCH = 64
KINDS = [each.model_fields["kind"].default for each in get_args(get_args(penalties.Penalty)[0])]
NEEDED: dict[str, dict[str, Any]] = {"max_norm": {"max_norm": 1.0}}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--rounds", type=int, default=12, help="pairs measured for each row")
    asked.add_argument("--steps", type=int, default=20, help="steps of each half of a pair")
    asked.add_argument("--optimizers", nargs="+", default=["adam", "sgd"])
    asked.add_argument("--penalties", nargs="+", default=KINDS)
    given = asked.parse_args()
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, ", end="")
    print(f"{precision.describe(precision.device('auto'))}; tutorial_cnn, batch {BATCH}, {given.rounds} pairs of {given.steps} steps\n")
    print("| penalty | " + " | ".join(given.optimizers) + " |\n|---|" + "---|" * len(given.optimizers))
    for kind in given.penalties:
        row = [_cost(kind, optimizer, given.rounds, given.steps) for optimizer in given.optimizers]
        print(f"| {kind} | " + " | ".join(row) + " |", flush=True)


def _cost(kind: str, optimizer: str, rounds: int, steps: int) -> str:
    """Median over the rounds of (time with / time without) - 1, and the middle half of them."""
    with TemporaryDirectory() as scratch:
        bare = _Steps(Path(scratch) / "bare", optimizer, [])
        laden = _Steps(Path(scratch) / "laden", optimizer, [_penalty(kind)])
        bare.take(steps), laden.take(steps)
        ratios = []
        for round_ in range(rounds):
            # In turn first and second: a drift of the clock rate must not favour one.
            pair = (bare, laden) if round_ % 2 else (laden, bare)
            seconds = {each: each.take(steps) for each in pair}
            ratios.append(seconds[laden] / seconds[bare] - 1)
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{middle:+.1%} ({low:+.1%} to {high:+.1%})"


class _Steps:
    """A run that is trained some steps at a time, without its evaluations and checkpoints."""

    def __init__(self, scratch: Path, optimizer: str, terms: list[dict[str, Any]]) -> None:
        scratch.mkdir()
        self.run: Run = build.run(_spec(optimizer, terms), scratch)
        self.going: Iterator[Any] = fit(self.run)

    def take(self, steps: int) -> float:
        # Of the processor: what other programs do to the clock on the wall is no cost of a penalty.
        goal, start = self.run.step + steps, process_time()
        while self.run.step < goal:
            next(self.going)
        return process_time() - start


def _spec(optimizer: str, terms: list[dict[str, Any]]) -> JobSpec:
    data = {"kind": "fake", "train_rows": 6_400, "test_rows": 1, "validation_fraction": 0.0}
    return JobSpec.model_validate(
        {"dataset": data, "optimizer": {"kind": optimizer}, "penalties": terms, "batch_size": BATCH, "precision": "float32"}
    )


def _penalty(kind: str) -> dict[str, Any]:
    fields = {"kind": kind, "lambda": 1e-5, **NEEDED.get(kind, {})}
    return {name: value for name, value in fields.items() if name != "lambda" or kind != "max_norm"}


if __name__ == "__main__":
    main()

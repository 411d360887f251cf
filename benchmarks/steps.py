"""What the engine costs around a step: its time over that of the best loop written by hand for the same step, in paired runs.

    OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.steps --rounds 15

Both train `tutorial_cnn` with Adam on the same rows in one process, in turn, some steps each; the figure is the median of the rounds'
ratios of processor time, which says the same beside other work. Writes a Markdown table to stdout.
"""

import argparse
import platform
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import torch
import torch.nn.functional as F

from contract.spec import JobSpec
from worker.training import build, lean, lifeline, precision
from worker.training.fit import fit
from worker.training.run import Run

MODELS: dict[str, dict[str, Any]] = {"tutorial_cnn": {"kind": "tutorial_cnn"}, "mlp": {"kind": "mlp", "hidden": [128]}}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--rounds", type=int, default=15, help="pairs measured for each row")
    asked.add_argument("--steps", type=int, default=20, help="steps of each half of a pair")
    asked.add_argument("--batches", nargs="+", type=int, default=[64, 512])
    asked.add_argument("--models", nargs="+", default=list(MODELS))
    given = asked.parse_args()
    lifeline.keep_freed_memory()
    lean.spare_the_compiler()
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, ", end="")
    print(f"{precision.describe(precision.device('auto'))}; {given.rounds} pairs of {given.steps} steps\n")
    print("| model | batch | by hand | ours | ours over by hand |\n|---|---|---|---|---|")
    for model in given.models:
        for batch in given.batches:
            print(_row(model, batch, given.rounds, given.steps), flush=True)


def _row(model: str, batch: int, rounds: int, steps: int) -> str:
    with TemporaryDirectory() as scratch:
        engine, by_hand = (build.run(_spec(model, batch), Path(scratch)) for _ in range(2))
        loops = (_ours(engine), _by_hand(by_hand, batch))
        pairs = []
        for round_ in range(rounds + 1):
            # In turn first and second: a drift of the clock rate must not favour one.
            order = loops if round_ % 2 else loops[::-1]
            seconds = {loop: _seconds(loop, steps) for loop in order}
            pairs.append((seconds[loops[0]], seconds[loops[1]]))
    ours, hand = (statistics.median(pair[which] for pair in pairs[1:]) / steps * 1e3 for which in (0, 1))
    low, middle, high = statistics.quantiles([a / b - 1 for a, b in pairs[1:]], n=4)
    return f"| {model} | {batch} | {hand:.3f} ms | {ours:.3f} ms | {middle:+.1%} ({low:+.1%} to {high:+.1%}) |"


def _seconds(step: Callable[[], None], steps: int) -> float:
    start = process_time()
    for _ in range(steps):
        step()
    return process_time() - start


def _ours(run: Run) -> Callable[[], None]:
    going: Iterator[Any] = fit(run)

    def step() -> None:
        goal = run.step + 1
        while run.step < goal:
            next(going)

    return step


def _by_hand(run: Run, batch: int) -> Callable[[], None]:
    """The fastest loop that we know to write: bytes on the device, channels_last, fused Adam, sums on the device; no checks."""
    model, rows, image = run.model, run.data.train, run.data.train.image
    channels, height, width = image
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    loss_sum, correct = torch.zeros((), device=run.device), torch.zeros((), dtype=torch.int64, device=run.device)
    flat, batches = rows.flat, list[torch.Tensor]()

    def step() -> None:
        if not batches:
            batches.extend(torch.split(torch.randperm(len(rows)).to(run.device), batch))
        indices = batches.pop()
        values = flat.index_select(0, indices).to(rows.mean.dtype).view(-1, height, width, channels).permute(0, 3, 1, 2)
        targets = rows.targets.index_select(0, indices)
        optimizer.zero_grad(set_to_none=True)
        logits = model(values.sub_(rows.mean).div_(rows.std))
        loss = F.cross_entropy(logits, targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        loss_sum.add_(loss.detach(), alpha=len(targets))
        correct.add_(logits.detach().argmax(1).eq(targets).sum())

    return step


def _spec(model: str, batch: int) -> JobSpec:
    data = {"kind": "fake", "train_rows": 8192, "test_rows": 1, "validation_fraction": 0.0}
    return JobSpec.model_validate({"dataset": data, "model": MODELS[model], "batch_size": batch, "precision": "float32", "epochs": 10_000})


if __name__ == "__main__":
    main()

"""Jobs interrupted at random: whatever they are made of, and however often it happens, they end with the weights of the uninterrupted."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any, Final

import torch

from contract import events
from contract.spec import JobSpec, check
from tests.faults.report import Report
from tests.worker.training import jobs
from worker.training import build
from worker.training.fit import fit
from worker.training.run import Run
from worker.training.saver import SHARE, Saver

OPTIMIZERS: Final[tuple[dict[str, Any], ...]] = (
    {"kind": "gd"},
    {"kind": "sgd", "lr": 0.05},
    {"kind": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True},
    {"kind": "momentum_ema", "lr": 0.05},
    {"kind": "adam", "lr": 0.01},
    {"kind": "adam", "lr": 0.01, "amsgrad": True},
    {"kind": "adamw", "lr": 0.01},
    {"kind": "nadam", "lr": 0.01},
    {"kind": "radam", "lr": 0.01},
    {"kind": "rmsprop", "lr": 0.001, "momentum": 0.5},
    {"kind": "adagrad", "lr": 0.01, "lr_decay": 0.1},
    {"kind": "adadelta"},
    {"kind": "adamax", "lr": 0.01},
    {"kind": "muon", "lr": 0.01},
    {"kind": "lbfgs"},
    {"kind": "lion", "lr": 0.001},
    {"kind": "schedule_free", "lr": 0.01},
    {"kind": "sam", "base": {"kind": "sgd", "lr": 0.05, "momentum": 0.9}},
)
PENALTIES: Final[tuple[list[dict[str, Any]], ...]] = (
    [],
    [{"kind": "l2", "lambda": 1e-3}],
    [{"kind": "l1", "lambda": 1e-3, "warmup_epochs": 1.5}],
    [{"kind": "l1", "lambda": 1e-3, "apply": "subgradient"}],
    [{"kind": "group_lasso", "lambda": 1e-3}, {"kind": "l2", "lambda": 1e-3}],
    [{"kind": "spectral", "lambda": 1e-2}],
    [{"kind": "max_norm", "max_norm": 1.0}],
    [{"kind": "decoupled_decay", "lambda": 1e-2}],
)
AUGMENTATIONS: Final[tuple[dict[str, Any] | None, ...]] = (None, {"flip": 0.5, "crop": 1, "erase": 0.3})
AVERAGING: Final = (None, {"kind": "ema"})
PRECISIONS: Final = ("float32", "bfloat16", "float64")
_MODELS: Final = ({"kind": "mlp", "hidden": [8], "dropout": 0.2}, jobs.CONVOLUTIONAL)
_EPOCHS: Final = 4


def interruptions(scale: int, seed: int, database: str = "none") -> Report:
    """So many jobs, each interrupted 1 to 5 times as by a kill: what was on its way to the disk is lost with the rest."""
    report, began = Report("bitwise resume", seed=seed, jobs=scale, trials=scale), time.monotonic()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for number in range(scale):
            rng = Random(f"{seed}/{number}")
            with tempfile.TemporaryDirectory(prefix="rl-bits-") as home:
                report.violations += [f"job {number}: {breach}" for breach in _breaches(Path(home), rng, report)]
    finally:
        torch.set_num_threads(threads)
    report.seconds = time.monotonic() - began
    return report


def drawn(rng: Random) -> JobSpec:
    """A job of which every part is drawn; drawn again where parts do not go together."""
    while True:
        fields = {
            "optimizer": rng.choice(OPTIMIZERS),
            "penalties": rng.choice(PENALTIES),
            "dataset": jobs.TINY | {"augment": rng.choice(AUGMENTATIONS)},
            "averaging": rng.choice(AVERAGING),
            "precision": rng.choice(PRECISIONS),
            "model": rng.choice(_MODELS),
            "schedule": {"kind": rng.choice(("constant", "cosine", "plateau"))},
            "epochs": _EPOCHS,
            "seed": rng.randrange(2**31),
        }
        full = fields["optimizer"]["kind"] in {"gd", "lbfgs"}
        spec = JobSpec.model_validate(fields | {"batch_size": "full" if full else 16})
        if not check.faults(spec):
            return spec


def _breaches(home: Path, rng: Random, report: Report) -> Iterator[str]:
    spec = drawn(rng)
    whole = build.run(spec, home / "whole")
    expected = _weights(jobs.said(whole))
    source: Path | None = None
    times = rng.randint(1, 5)
    for attempt in range(times):
        source = _interrupted(build.run(spec, home / str(attempt), source), rng) or source
        report.add("interruption")
    last = build.run(spec, home / "last", source)
    found = _weights(jobs.said(last))
    if found is None and source is not None:  # resumed at its very end
        found = sha256((source / "model.safetensors").read_bytes()).hexdigest()
    if found != expected or not last.standing.bitwise:
        yield f"{times} interruptions, {last.standing.resumed_at_steps}: {found} is not {expected} for {spec.model_dump_json()}"


def _interrupted(run: Run, rng: Random) -> Path | None:
    """Trains the run to a random place between two of its words, and drops it there. Returns the newest checkpoint it had said."""
    saver = Saver(run, rng.choice((0.0, 1e9)), share=rng.choice((SHARE, 1.0)))
    newest: Path | None = None
    left = rng.randint(1, 2 * (run.steps - run.step) + 4)
    with closing(fit(run, saver)) as going:
        for said in going:
            if isinstance(said, events.CheckpointWritten):
                newest = run.scratch / said.folder
            left -= 1
            if left == 0:
                break
    return newest


def _weights(told: list[events.Event]) -> str | None:
    """The SHA-256 of the network in the last checkpoint that was said."""
    written = [event for event in told if isinstance(event, events.CheckpointWritten)]
    return next(file.sha256 for file in written[-1].files if file.name == "model.safetensors") if written else None

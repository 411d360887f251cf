"""Small jobs for the tests of training, and what they leave behind."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

from torch import Tensor

from contract import events
from contract.spec import JobSpec, check
from worker.training import build, checkpoint, folder, penalties, polish
from worker.training.fit import fit
from worker.training.optimizers import state
from worker.training.run import Run
from worker.training.said import Said, Tick

TINY = {"kind": "fake", "train_rows": 50, "test_rows": 20, "height": 8, "width": 8, "outputs": 3, "validation_fraction": 0.2}

# 40 training rows in batches of 16: three steps an epoch, the last one ragged.
DEFAULTS: dict[str, Any] = {
    "dataset": TINY,
    "model": {"kind": "mlp", "hidden": [8]},
    "epochs": 3,
    "batch_size": 16,
}

CONVOLUTIONAL = {"kind": "cnn", "channels": [4, 6], "hidden": [10], "norm": "batch", "dropout": 0.3}


def spec(**fields: Any) -> JobSpec:
    """A job on tiny data, checked as the API would check it."""
    made = JobSpec.model_validate({**DEFAULTS, **fields})
    assert check.faults(made) == []
    return made


def run(scratch: Path, resume_from: Path | None = None, **fields: Any) -> Run:
    return build.run(spec(**fields), scratch, resume_from)


def said(run: Run) -> list[events.Event]:
    """Everything the run says until its end."""
    return [event for event in fit(run) if not isinstance(event, Tick)]


def result(run: Run) -> events.Result:
    last = said(run)[-1]
    assert isinstance(last, events.Finished)
    return last.result


def save(run: Run, target: Path) -> None:
    """Writes the run as it stands to `target`."""
    folder.write(target, checkpoint.contents(checkpoint.take(run, target.name, interim=True)))


def to_step(run: Run, step: int) -> Generator[Said, None, None]:
    """The run's generator, halted at the first yield that finds so many steps done."""
    going = fit(run)
    for _ in going:
        if run.step == step:
            return going
    raise AssertionError(f"the run ended before step {step}")


def bits(run: Run) -> dict[str, bytes]:
    """Every value that training has made, by name."""
    found: dict[str, Tensor] = dict(run.model.state_dict())
    found |= {f"average.{name}": value for name, value in run.average.items()} | polish.state(run)
    found |= state.tensors(run.optimizer, run.named) | penalties.state(run.terms)
    rest = state.remembered(run.optimizer, run.named).model_dump_json().encode()
    return {"rest": rest} | {name: value.detach().contiguous().numpy().tobytes() for name, value in found.items()}


def lasting(event: events.Event) -> dict[str, Any] | None:
    """What of an epoch must be the same however often the job was interrupted: all but its speed."""
    if not isinstance(event, events.EpochDone):
        return None
    return {name: repr(value) for name, value in event.metrics.items() if name != "samples_per_second"}

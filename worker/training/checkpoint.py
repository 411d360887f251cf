"""What a checkpoint holds, and how a run comes back from it to the bit.

`model.safetensors` is the network alone, as it is judged and in torch's names and plain contiguous layout, so that it loads with
safetensors into the standard module; its metadata says how the pixels were standardised. `trainer.safetensors` holds what training
goes on from: the optimizer's tensors, the sums of the epoch under way, a polish's frozen support and, where an average is given away,
that average and the weights it is of. `state.json` says where the run stands, and of the optimizer what is no tensor. Batches, dropout
and schedules are functions of seed and step
and have no state. See `folder` for the files.
"""

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

import safetensors.torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from contract import events
from contract.spec import JobSpec
from worker.training import finite, folder, penalties, polish, weights
from worker.training.faults import ArtifactCorruptError
from worker.training.optimizers import state
from worker.training.run import Run
from worker.training.standing import Standing

# What says who asked and how long it may take, and nothing about the training.
_BESIDE_TRAINING = {"name", "metadata", "limits", "priority"}


class State(BaseModel):
    """What `state.json` holds."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    format: Literal[1] = 1
    spec_sha256: str
    data_sha256: str
    machine: events.Machine
    standing: Standing
    optimizer: state.Remembered = state.Remembered()


@dataclass(frozen=True)
class Saved:
    """A checkpoint read and verified."""

    state: State
    model: dict[str, Tensor]
    trainer: dict[str, Tensor]


def write(run: Run, *, interim: bool = False) -> events.CheckpointWritten:
    """Writes the run as it stands into a new folder of its scratch. Raises OSError, for instance when the disk is full."""
    name = f"step-{run.step:08d}-end" if interim else f"step-{run.step:08d}"
    with run.watch.measure("checkpoint"):
        finite.read(run)
        if not interim:
            run.standing.checkpoint_due = False
        files = save(run, run.scratch / name)
    return events.CheckpointWritten(
        folder=name,
        epoch=run.standing.epoch,
        step=run.step,
        files=files,
        metrics=run.standing.metrics,
        interim=interim,
    )


def save(run: Run, target: Path) -> tuple[events.File, ...]:
    """Writes the run as it stands into the new folder `target`; it appears there whole or not at all."""
    contents = {
        "model.safetensors": safetensors.torch.save(_model(run), metadata=_metadata(run)),
        "trainer.safetensors": safetensors.torch.save(_trainer(run)),
        "state.json": _state(run).model_dump_json(indent=1).encode(),
    }
    return folder.write(target, contents)


def read(source: Path) -> Saved:
    """The checkpoint in `source`. Raises ArtifactCorruptError unless every byte is as the manifest says."""
    contents = folder.read(source)
    try:
        return Saved(
            state=State.model_validate_json(contents["state.json"]),
            model=safetensors.torch.load(contents["model.safetensors"]),
            trainer=safetensors.torch.load(contents["trainer.safetensors"]),
        )
    except (KeyError, ValidationError, safetensors.SafetensorError) as error:
        raise ArtifactCorruptError(f"the checkpoint {source.name} is whole but cannot be understood ({error})", _HINT) from error


def restore(run: Run, saved: Saved) -> None:
    """Puts a freshly built run where `saved` left it. Raises ArtifactCorruptError where it is another job's checkpoint."""
    told = saved.state
    _refuse_other("spec", told.spec_sha256, spec_sha256(run.spec))
    _refuse_other("data", told.data_sha256, run.data.lineage.sha256)
    run.standing = told.standing.model_copy(deep=True)
    run.standing.resumed_at_steps = (*run.standing.resumed_at_steps, run.step)
    try:
        run.model.load_state_dict(saved.model | _named("raw.", saved.trainer))
        state.restore(run.optimizer, run.named, _named(_OPTIMIZER, saved.trainer), told.optimizer)
        for name, value in penalties.state(run.terms).items():
            value.copy_(saved.trainer[name])
        run.totals.loss.copy_(saved.trainer["totals.loss"])
        run.totals.correct.copy_(saved.trainer["totals.correct"])
        for name, value in run.average.items():
            value.copy_(saved.trainer[f"average.{name}"])
        polish.restore(run, saved.trainer)
    except (KeyError, RuntimeError) as error:
        raise ArtifactCorruptError(f"the checkpoint's tensors are not those of this network ({error})", _HINT) from error
    if told.machine != run.machine:
        run.standing.bitwise = False
        run.warnings.append(
            f"resumed on {run.machine.fingerprint()} what was begun on {told.machine.fingerprint()}; "
            "the result will not be equal to the bit to that of an uninterrupted run"
        )


def spec_sha256(spec: JobSpec) -> str:
    """Of everything in the spec that training depends on."""
    return sha256(json.dumps(spec.model_dump(mode="json", exclude=_BESIDE_TRAINING), sort_keys=True).encode()).hexdigest()


_OPTIMIZER = "optimizer."
_HINT = "Resume from an earlier checkpoint, or start the job anew."


def _model(run: Run) -> dict[str, Tensor]:
    return _plainly(_own(run) | weights.given_away(run))


def _own(run: Run) -> dict[str, Tensor]:
    """What training has made of the network at the last step boundary."""
    return run.model.state_dict() | run.held_buffers


def _metadata(run: Run) -> dict[str, str]:
    """What the network needs to know of its inputs. One key: safetensors writes several in an order that varies."""
    return {"normalization": json.dumps({"mean": run.data.mean.tolist(), "std": run.data.std.tolist()})}


def _trainer(run: Run) -> dict[str, Tensor]:
    found = {"totals.loss": run.totals.loss, "totals.correct": run.totals.correct, **polish.state(run)}
    found |= penalties.state(run.terms) | {f"average.{name}": value for name, value in run.average.items()}
    found |= {f"{_OPTIMIZER}{name}": value for name, value in state.tensors(run.optimizer, run.named).items()}
    if away := weights.given_away(run):
        found |= {f"raw.{name}": value for name, value in _own(run).items() if name in away}
    return _plainly(found)


def _state(run: Run) -> State:
    return State(
        spec_sha256=spec_sha256(run.spec),
        data_sha256=run.data.lineage.sha256,
        machine=run.machine,
        standing=run.standing,
        optimizer=state.remembered(run.optimizer, run.named),
    )


def _plainly(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """On the CPU in the standard layout, whatever layout the device prefers."""
    return {name: value.detach().to("cpu").contiguous() for name, value in tensors.items()}


def _named(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _refuse_other(what: str, saved: str, present: str) -> None:
    if saved != present:
        raise ArtifactCorruptError(f"the checkpoint was written for other {what} (sha256 {saved[:12]}…, now {present[:12]}…)", _HINT)

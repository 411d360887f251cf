"""What a checkpoint holds, and how a run comes back from it to the bit.

`model.safetensors` is the network alone, as it is judged and in torch's names and plain contiguous layout, so that it loads with
safetensors into the standard module; its metadata says how the pixels were standardised. `trainer.safetensors` holds what training
goes on from: the optimizer's tensors, the sums of the epoch under way, a polish's frozen support and, where an average is given away,
that average and the weights it is of. `state.json` says where the run stands, and of the optimizer what is no tensor. Batches, dropout
and schedules are functions of seed and step and have no state. See `folder` for the files, and `saver` for when they are written.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn

from contract import events
from contract.events import FailureCode
from contract.spec import JobSpec
from worker.training import finite, folder, penalties, polish, schedules, weights
from worker.training.faults import ArtifactCorruptError, TrainingError, is_out_of_memory
from worker.training.optimizers import state
from worker.training.run import Run
from worker.training.standing import Standing

# What says who asked, where it may run and how long it may take, and nothing about the training. Of the checkpoint policy only
# `resume`: the rest decides which epoch is called best and which weights are kept, and so what a result says.
_BESIDE_TRAINING: Final[Mapping[str, bool | set[str]]] = {
    "name": True,
    "metadata": True,
    "limits": True,
    "priority": True,
    "checkpoints": {"resume"},
}


class State(BaseModel):
    """What `state.json` holds. Nothing has a default: a file that leaves something out is refused."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    format: Literal[1]
    spec_sha256: str
    data_sha256: str
    machine: events.Machine
    standing: Standing
    optimizer: state.Remembered


@dataclass(frozen=True)
class Snapshot:
    """A run as it stood at a step boundary, in host memory: nothing that training does later moves it."""

    name: str
    """Of the folder it will be."""
    step: int
    interim: bool
    """See `events.CheckpointWritten`."""
    spec: JobSpec
    data: events.Data
    machine: events.Machine
    standing: Standing
    optimizer: state.Remembered
    model: dict[str, Tensor]
    trainer: dict[str, Tensor]
    inputs: dict[str, str]
    """What the network needs to know of its inputs."""

    @property
    def size_bytes(self) -> int:
        """Of its tensors."""
        return sum(value.nbytes for part in (self.model, self.trainer) for value in part.values())


@dataclass(frozen=True)
class Saved:
    """A checkpoint read and verified."""

    state: State
    model: dict[str, Tensor]
    trainer: dict[str, Tensor]


def write(run: Run, *, interim: bool = False) -> events.CheckpointWritten:
    """Writes the run as it stands into a new folder of its scratch, and waits for it. Raises DivergedError and OSError."""
    with run.watch.measure("checkpoint"):
        name = f"step-{run.step:08d}-end" if interim else f"step-{run.step:08d}"
        return put(take(run, name, interim=interim), run.scratch)


def take(run: Run, name: str, *, interim: bool) -> Snapshot:
    """Copies the run as it stands to host memory. Raises DivergedError where it is not worth keeping."""
    finite.read(run)
    if not interim:
        run.standing.checkpoint_due = False
    return Snapshot(
        name=name,
        step=run.step,
        interim=interim,
        spec=run.spec,
        data=run.data.lineage,
        machine=run.machine,
        standing=run.standing.model_copy(),  # its fields are replaced and never changed in place
        optimizer=state.remembered(run.optimizer, run.named),
        model=_copied(_own(run) | weights.given_away(run)),
        trainer=_copied(_trainer(run)),
        inputs=_inputs(run),
    )


def put(snapshot: Snapshot, scratch: Path) -> events.CheckpointWritten:
    """Writes a snapshot into a new folder of `scratch`; it appears there whole or not at all. Raises OSError."""
    files = folder.write(scratch / snapshot.name, contents(snapshot))
    return events.CheckpointWritten(
        folder=snapshot.name,
        epoch=snapshot.standing.epoch,
        step=snapshot.step,
        files=files,
        metrics=snapshot.standing.metrics,
        interim=snapshot.interim,
    )


def contents(snapshot: Snapshot) -> dict[str, bytes]:
    """The files of a snapshot by name, the manifest aside."""
    # Here and not above, as below: a machine without it can still train, as for a benchmark.
    import safetensors.torch

    told = State(
        format=1,
        spec_sha256=spec_sha256(snapshot.spec),
        data_sha256=snapshot.data.sha256,
        machine=snapshot.machine,
        standing=snapshot.standing,
        optimizer=snapshot.optimizer,
    )
    return {
        "model.safetensors": safetensors.torch.save(snapshot.model, metadata=snapshot.inputs),
        "trainer.safetensors": safetensors.torch.save(snapshot.trainer),
        "state.json": told.model_dump_json(indent=1).encode(),
    }


def read(source: Path) -> Saved:
    """The checkpoint in `source`. Raises ArtifactCorruptError unless every byte is as the manifest says."""
    import safetensors.torch

    contents = folder.read(source)
    try:
        return Saved(
            state=State.model_validate_json(contents["state.json"]),
            model=safetensors.torch.load(contents["model.safetensors"]),
            trainer=safetensors.torch.load(contents["trainer.safetensors"]),
        )
    except (KeyError, ValidationError, safetensors.SafetensorError) as error:
        raise ArtifactCorruptError(f"the checkpoint {source.name} is whole but cannot be understood ({error})", _HINT) from error


def restore(run: Run, saved: Saved, begun_with_epochs: int | None = None) -> None:
    """Puts a freshly built run where `saved` left it. `begun_with_epochs` is what the spec's `epochs` may have been then, where the
    job extends another.

    Raises ArtifactCorruptError where it is another job's checkpoint, and TrainingError where the job must not go on from it here.
    """
    told = saved.state
    extended = _is_extended(run.spec, told, begun_with_epochs)
    _refuse_other("data", told.data_sha256, run.data.lineage.sha256)
    _refuse_elsewhere(run, told.machine)
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
        if is_out_of_memory(error):  # on a larger machine, or an emptier one, it can still be read
            raise
        raise ArtifactCorruptError(f"the checkpoint's tensors are not those of this network ({error})", _HINT) from error
    for why in _not_to_the_bit(run, told.machine, begun_with_epochs if extended else None):
        run.standing.bitwise = False
        run.warnings.append(f"{why}; the result will not be equal to the bit to that of an uninterrupted run")


def start(model: nn.Module, weights: Path) -> None:
    """Gives the network the weights and running statistics of a `model.safetensors`, in its own precision.

    Raises ArtifactCorruptError where the file is not of such a network.
    """
    import safetensors.torch

    try:
        model.load_state_dict(safetensors.torch.load_file(weights))
    except (RuntimeError, safetensors.SafetensorError) as error:
        if is_out_of_memory(error):
            raise
        raise ArtifactCorruptError(f"the weights to start from are not those of this network ({error})", _HINT) from error


def spec_sha256(spec: JobSpec) -> str:
    """Of everything in the spec that training and its result depend on."""
    document = spec.model_dump(mode="json", exclude=_BESIDE_TRAINING)
    if document["init_from"] is None:
        del document["init_from"]  # as in checkpoints written before there was such a field, which must still be resumed from
    return sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


_OPTIMIZER = "optimizer."
_HINT = "Resume from an earlier checkpoint, or start the job anew."


def _own(run: Run) -> dict[str, Tensor]:
    """What training has made of the network at the last step boundary."""
    return run.model.state_dict() | run.held_buffers


def _inputs(run: Run) -> dict[str, str]:
    """One key: safetensors writes several in an order that varies."""
    return {"normalization": json.dumps({"mean": run.data.mean.tolist(), "std": run.data.std.tolist()})}


def _trainer(run: Run) -> dict[str, Tensor]:
    found = {"totals.loss": run.totals.loss, "totals.correct": run.totals.correct, **polish.state(run)}
    found |= penalties.state(run.terms) | {f"average.{name}": value for name, value in run.average.items()}
    found |= {f"{_OPTIMIZER}{name}": value for name, value in state.tensors(run.optimizer, run.named).items()}
    if away := weights.given_away(run):
        found |= {f"raw.{name}": value for name, value in _own(run).items() if name in away}
    return found


def _copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """On the CPU in the standard layout, whatever layout the device prefers, and in memory of their own."""
    return {name: torch.empty(value.shape, dtype=value.dtype).copy_(value.detach()) for name, value in tensors.items()}


def _named(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _is_extended(spec: JobSpec, told: State, begun_with_epochs: int | None) -> bool:
    """Whether the checkpoint is of the job that this one extends; refused unless it is of that or of this one."""
    if begun_with_epochs is not None and told.spec_sha256 == spec_sha256(spec.model_copy(update={"epochs": begun_with_epochs})):
        if told.standing.polished_from is not None:
            message = f"the job was polished after epoch {told.standing.polished_from} and cannot be trained on from there"
            raise TrainingError(FailureCode.SPEC_INVALID, message, "Extend a job that has no polish, or submit this one from the start.")
        return True
    _refuse_other("spec", told.spec_sha256, spec_sha256(spec))
    return False


def _refuse_other(what: str, saved: str, present: str) -> None:
    if saved != present:
        raise ArtifactCorruptError(f"the checkpoint was written for other {what} (sha256 {saved[:12]}…, now {present[:12]}…)", _HINT)


def _refuse_elsewhere(run: Run, began: events.Machine) -> None:
    if run.spec.checkpoints.resume == "bitwise" and began.machine_class() != run.machine.machine_class():
        raise TrainingError(
            # Retried: a claim is only given to a worker of the class, and one that was given to another is put back for it.
            FailureCode.DEPENDENCY_DOWN,
            f"the job was begun on {began.machine_class()} and this worker is {run.machine.machine_class()}, where its bits would differ",
            "Start a worker of the first kind, or retry the job with checkpoints.resume 'anywhere'.",
        )


def _not_to_the_bit(run: Run, began: events.Machine, begun_with_epochs: int | None) -> Iterator[str]:
    """Each reason why the resumed job will end otherwise than an uninterrupted one."""
    if (began.machine_class(), began.threads) != (run.machine.machine_class(), run.machine.threads):
        yield f"resumed on {run.machine.fingerprint()} what was begun on {began.fingerprint()}"
    elif run.device.type == "cuda" and not run.spec.deterministic:
        yield "resumed on a GPU, some of whose algorithms vary from run to run unless the spec is `deterministic`"
    if begun_with_epochs is not None and schedules.looks_ahead(run.spec.schedule):
        yield (
            f"extended from {begun_with_epochs} to {run.spec.epochs} epochs under a `{run.spec.schedule.kind}` schedule, whose learning "
            f"rate now goes on along the curve of {run.spec.epochs}"
        )

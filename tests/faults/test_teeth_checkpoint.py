"""Each thing that a checkpoint holds is needed: left out or forgotten, it is refused, or the job visibly ends otherwise."""

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest
import safetensors.torch
from torch import Tensor

from contract import events
from contract.events import Machine
from tests.faults.bits import OPTIMIZERS, PENALTIES
from tests.worker.training import jobs
from worker.training import build, checkpoint, folder
from worker.training.checkpoint import State
from worker.training.faults import ArtifactCorruptError
from worker.training.fit import fit
from worker.training.optimizers.state import Remembered
from worker.training.run import Run
from worker.training.said import Tick
from worker.training.saver import Saver
from worker.training.schedules import Watched
from worker.training.standing import Standing

Contents = dict[str, bytes]
Ending = dict[str, Any]


@dataclass(frozen=True)
class Scene:
    """A job, and after which of its steps it is interrupted: at the first word that finds so many done, or at that epoch's end."""

    step: int
    fields: dict[str, Any] = field(default_factory=dict)
    epoch_is_over: bool = False
    resumed: int = 0
    """How often it has been resumed before."""


SIMPLE: Final = Scene(5, {"optimizer": {"kind": "adam", "lr": 0.01}})
# The training accuracy and loss of these move so that forgetting the best epoch, or what was watched, shows.
BEST: Final = Scene(5, {"checkpoints": {"monitor": "train.loss", "mode": "max"}, "optimizer": {"kind": "adam", "lr": 0.01}})
STOPPING: Final = Scene(
    8, {"epochs": 12, "optimizer": {"kind": "adam", "lr": 0.01}, "early_stopping": {"monitor": "train.loss", "mode": "max", "patience": 3}}
)
PLATEAU: Final = {"kind": "plateau", "monitor": "train.loss", "mode": "max", "factor": 0.5}
POLISHED: Final = Scene(
    13, {"epochs": 3, "optimizer": {"kind": "adam", "lr": 0.01}, "penalties": [{"kind": "l1", "lambda": 0.02}], "polish": {"epochs": 2}}
)

STATE: Final[dict[str, Scene]] = dict.fromkeys(State.model_fields.keys() - {"standing"}, SIMPLE)
STANDING: Final[dict[str, Scene]] = {
    "epoch": SIMPLE,
    "batch": SIMPLE,
    "polished_from": POLISHED,
    "checkpoint_due": Scene(3, SIMPLE.fields | {"checkpoints": {"every_epochs": 100}}, epoch_is_over=True),
    "metrics": Scene(9, SIMPLE.fields, epoch_is_over=True),
    "best_epoch": BEST,
    "best_metrics": BEST,
    "watched": STOPPING,
    "stale_epochs": STOPPING,
    "plateau": Scene(7, {"epochs": 5, "schedule": PLATEAU | {"patience": 0}}),
    "resumed_at_steps": Scene(5, SIMPLE.fields, resumed=1),
    "bitwise": Scene(5, SIMPLE.fields),
}
WATCHED: Final[dict[str, Scene]] = {
    "factor": Scene(7, {"epochs": 5, "schedule": PLATEAU | {"patience": 0}}),
    "best": Scene(4, {"epochs": 5, "schedule": PLATEAU | {"patience": 1}}),
    "bad_epochs": Scene(7, {"epochs": 5, "schedule": PLATEAU | {"patience": 1}}),
    "cooling": Scene(7, {"epochs": 6, "schedule": PLATEAU | {"patience": 0, "cooldown": 2}}),
}
REMEMBERED: Final[dict[str, Scene]] = {
    "values": Scene(2, {"optimizer": {"kind": "lbfgs"}, "batch_size": "full", "epochs": 4}),
    "lists": Scene(2, {"optimizer": {"kind": "lbfgs"}, "batch_size": "full", "epochs": 4}),
    "groups": Scene(5, {"optimizer": {"kind": "schedule_free", "lr": 0.01}}),
}
FIELDS: Final = {
    "": (State, STATE),
    "standing": (Standing, STANDING),
    "standing.plateau": (Watched, WATCHED),
    "optimizer": (Remembered, REMEMBERED),
}
CASES: Final = [
    (path, name) for path, (kind, _) in FIELDS.items() for name in sorted(kind.model_fields) if (path, name) != ("", "standing")
]


@pytest.mark.parametrize(("path", "name"), CASES, ids=lambda part: part or "state")
def test_no_field_of_a_checkpoint_may_be_forgotten(path: str, name: str, tmp_path: Path) -> None:
    kind, scenes = FIELDS[path]
    assert name in scenes, f"{kind.__name__}.{name} is new: say in which job forgetting it would show"
    scene = scenes[name]
    state = json.loads(_saved(scene, bitwise=name != "bitwise")["state.json"])
    place = state
    for part in filter(None, path.split(".")):
        place = place[part]

    was = place.pop(name)
    if path:
        default = kind().model_dump(mode="json")[name]
        assert was != default, f"{name} is at its default in this job, so that forgetting it cannot show"
    found = _ending(scene, _saved(scene, bitwise=name != "bitwise") | {"state.json": json.dumps(state).encode()}, tmp_path)

    assert found != _ending(scene, _saved(scene, bitwise=name != "bitwise"), tmp_path)
    if not path:
        assert "refused" in found


# What has a default came later, and is what it was in the checkpoints that do not say it; that the layout is gone by, test_serve shows.
@pytest.mark.parametrize("name", sorted(name for name, field in Machine.model_fields.items() if field.is_required()))
def test_nothing_that_is_said_of_the_machine_may_be_left_out(name: str, tmp_path: Path) -> None:
    state = json.loads(_saved(SIMPLE)["state.json"])
    del state["machine"][name]

    assert "refused" in _ending(SIMPLE, _saved(SIMPLE) | {"state.json": json.dumps(state).encode()}, tmp_path)


# What lies in a checkpoint because the library keeps it, and decides nothing that follows.
IDLE: Final = {
    "rmsprop step": "counted, never read",
    "adadelta step": "counted, never read",
    "lbfgs al": "room for the two-loop recursion, written before it is read",
    "lbfgs H_diag": "made anew by each step along which the gradient grew, as in this job all do",
}


def _tensor_scenes() -> dict[str, Scene]:
    """A scene for each group of tensors that any job's checkpoint holds, by a name that says where it is from."""
    found: dict[str, Scene] = {}
    scenes = {f"{fields['kind']}": _with(fields) for fields in OPTIMIZERS}
    scenes |= {penalties[0]["kind"]: _with({"kind": "adam", "lr": 0.01}, penalties=penalties) for penalties in PENALTIES if penalties}
    scenes |= {"averaged": _with({"kind": "adam", "lr": 0.01}, averaging={"kind": "ema"}), "polished": POLISHED}
    for source, scene in scenes.items():
        saved = _saved(scene)
        for file in ("model", "trainer"):
            for name in safetensors.torch.load(saved[f"{file}.safetensors"]):
                group = f"{source} {_group(file, name)}"
                if (file == "model" and source != "adam") or (_group(file, name).startswith("totals") and source != "adam"):
                    continue
                found.setdefault(group, scene)
    return found


def _group(file: str, name: str) -> str:
    """Tensors of one purpose are one group: an optimizer's by key, the others by their prefix."""
    if name.startswith("optimizer."):
        return name.split(":")[1]
    return name.rpartition(".")[2] if file == "model" else name if name.startswith("totals") else name.split(".")[0]


def _with(optimizer: dict[str, Any], **more: Any) -> Scene:
    full = optimizer["kind"] in {"gd", "lbfgs"}
    model = {"kind": "cnn", "channels": [3], "hidden": [5], "norm": "none" if optimizer["kind"] == "schedule_free" else "batch"}
    return Scene(2 if full else 5, {"optimizer": optimizer, "model": model, "batch_size": "full" if full else 16, **more})


@pytest.mark.parametrize("how", ["left_out", "zeroed"])
def test_no_tensor_of_a_checkpoint_may_be_forgotten(how: str, tmp_path: Path) -> None:
    scenes, idle = _tensor_scenes(), []
    assert {"totals.loss", "average", "raw", "penalty", "polish", "exp_avg", "momentum_buffer", "weight", "running_mean"} <= {
        name.split(" ")[1] for name in scenes
    }
    for number, (group, scene) in enumerate(scenes.items()):
        wanted, saved = group.split(" ")[1], _saved(scene)
        for file in ("model", "trainer"):
            tensors = safetensors.torch.load(saved[f"{file}.safetensors"])
            hit = {name for name in tensors if _group(file, name) == wanted}
            if not hit:
                continue
            mutant = _without(tensors, hit) if how == "left_out" else {n: v * 0 if n in hit else v for n, v in tensors.items()}
            changed = saved | {f"{file}.safetensors": safetensors.torch.save(mutant)}
            if _ending(scene, changed, tmp_path / str(number)) == _ending(scene, saved, tmp_path / f"{number}-whole"):
                idle.append(group)
    assert set(idle) <= IDLE.keys(), "forgotten without a trace"


def _without(tensors: dict[str, Tensor], hit: set[str]) -> dict[str, Tensor]:
    return {name: value for name, value in tensors.items() if name not in hit}


@pytest.mark.parametrize("what", ["held_buffers"])
def test_a_full_batch_gradient_under_way_leaves_no_trace(what: str, tmp_path: Path) -> None:
    data = jobs.TINY | {"train_rows": 800, "validation_fraction": 0}
    scene = Scene(1, {"dataset": data, "model": jobs.CONVOLUTIONAL, "optimizer": {"kind": "gd"}, "batch_size": "full"})

    def halted() -> Run:
        run = jobs.run(tmp_path / "halted", **scene.fields)
        going = jobs.to_step(run, 1)
        for _ in range(3):
            next(going)
        assert getattr(run, what)
        return run

    run = halted()
    whole = _contents(run)
    setattr(run, what, {})

    expected = jobs.run(tmp_path / "whole", **scene.fields)
    assert _ending(scene, whole, tmp_path)["weights"] == _weights(jobs.said(expected))
    assert _ending(scene, _contents(run), tmp_path) != _ending(scene, whole, tmp_path)


@cache
def _kept(step: int, fields: str, epoch_is_over: bool, resumed: int, bitwise: bool) -> Contents:
    scene = Scene(step, json.loads(fields), epoch_is_over, resumed)
    with TemporaryDirectory(prefix="rl-teeth-") as home:
        source: Path | None = None
        for number in range(scene.resumed):
            run = jobs.run(Path(home) / f"before-{number}", source, **scene.fields)
            jobs.to_step(run, 1 + number).close()
            source = run.scratch / checkpoint.write(run, interim=True).folder
        run = jobs.run(Path(home) / "a", source, **scene.fields)
        going = jobs.to_step(run, scene.step)
        while scene.epoch_is_over and run.standing.batch:
            next(going)
        run.standing.bitwise = bitwise
        kept = _contents(run)
        going.close()  # waits for the write under way, so that the folder can go
        return kept


def _saved(scene: Scene, *, bitwise: bool = True) -> Contents:
    return _kept(scene.step, json.dumps(scene.fields), scene.epoch_is_over, scene.resumed, bitwise)


def _contents(run: Run) -> Contents:
    return checkpoint.contents(checkpoint.take(run, "a", interim=True))


def _ending(scene: Scene, contents: Contents, scratch: Path) -> Ending:
    """All that tells one end of the job from another: the weights of each checkpoint, the result, or what went wrong."""
    scratch.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=scratch) as home:
        folder.write(Path(home) / "source", contents)
        try:
            run = build.run(jobs.spec(**scene.fields), Path(home) / "resumed", Path(home) / "source")
        except ArtifactCorruptError as error:
            return {"refused": str(error)}
        try:
            # Without room to wait in, each is written when it is due: which are must not depend on how busy this machine is.
            told = [said for said in fit(run, Saver(run, most_bytes=0)) if not isinstance(said, Tick)]
        except Exception as error:
            return {"failed": repr(error)}
    last = told[-1]
    assert isinstance(last, events.Finished)
    return {
        "weights": _weights(told),
        "checkpoints": [event.step for event in told if isinstance(event, events.CheckpointWritten)],
        "epochs": [epoch for event in told if (epoch := jobs.lasting(event))],
        "result": _lasting(last.result),
    }


def _lasting(result: events.Result) -> str:
    metrics = {name: value for name, value in result.metrics.items() if name != "samples_per_second"}
    best = {name: value for name, value in result.best_metrics.items() if name != "samples_per_second"}
    beside = {"timings": {}, "samples_per_second": 0.0, "metrics": metrics, "best_metrics": best}
    return result.model_copy(update=beside).model_dump_json()


def _weights(told: list[events.Event]) -> list[str]:
    written = [event for event in told if isinstance(event, events.CheckpointWritten)]
    return [next(file.sha256 for file in event.files if file.name == "model.safetensors") for event in written[-1:]]

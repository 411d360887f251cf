"""A checkpoint is on disk whole or not at all, is believed only byte for byte, and its network loads without us."""

import errno
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from contract import events
from contract.events import FailureCode
from tests.worker.training import jobs
from worker.training import build, checkpoint, datasets, folder
from worker.training.faults import ArtifactCorruptError
from worker.training.fit import fit
from worker.training.optimizers import state

FILES = ["manifest.json", "model.safetensors", "state.json", "trainer.safetensors"]


def _written(tmp_path: Path, **fields: Any) -> Path:
    run = jobs.run(tmp_path, **fields)
    jobs.to_step(run, 2)
    return tmp_path / checkpoint.write(run).folder


def test_a_checkpoint_lists_each_of_its_files_with_size_and_hash_the_manifest_last(tmp_path: Path) -> None:
    run = jobs.run(tmp_path)
    jobs.to_step(run, 2)

    event = checkpoint.write(run, interim=True)

    assert sorted(os.listdir(tmp_path / event.folder)) == FILES
    assert sorted(file.name for file in event.files) == FILES
    assert event.files[-1].name == "manifest.json"
    assert (event.step, event.epoch, event.metrics, event.interim) == (2, 0, {}, True)
    for file in event.files:
        content = (tmp_path / event.folder / file.name).read_bytes()
        assert file == events.File(name=file.name, size_bytes=len(content), sha256=checkpoint.sha256(content).hexdigest())
        assert (tmp_path / event.folder / file.name).stat().st_mode & 0o777 == 0o644
    listed = json.loads((tmp_path / event.folder / "manifest.json").read_text())["files"]
    assert [events.File.model_validate(file) for file in listed] == list(event.files[:-1])


def test_the_network_loads_into_the_standard_module_with_safetensors_alone(tmp_path: Path) -> None:
    run = jobs.run(tmp_path, model={"kind": "cnn", "channels": [3], "hidden": [5]}, dataset=jobs.TINY | {"channels": 2})
    jobs.said(run)

    class Standard(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.fc1, self.fc2 = nn.Conv2d(2, 3, 3, padding=1), nn.Linear(3 * 4 * 4, 5), nn.Linear(5, 3)

        def forward(self, images: torch.Tensor) -> Any:
            values = nn.functional.max_pool2d(self.conv1(images).relu(), 2).flatten(1)
            return self.fc2(self.fc1(values).relu())

    tensors = safetensors.torch.load_file(tmp_path / "step-00000009" / "model.safetensors")
    standard = Standard()
    standard.load_state_dict(tensors)
    images, _ = run.data.test.between(0, 20)
    run.model.eval()

    assert torch.allclose(standard(images.contiguous()), run.model(images), atol=1e-6)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["flip", "truncate", "grow", "remove"])
def test_a_damaged_checkpoint_is_refused_whichever_file_it_is(tmp_path: Path, name: str, damage: str) -> None:
    source = _written(tmp_path)
    path = source / name
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 0x01
    path.write_bytes(content[:-1] if damage == "truncate" else content + b"}" if damage == "grow" else content)
    if damage == "remove":
        path.unlink()

    with pytest.raises(ArtifactCorruptError) as caught:
        jobs.run(tmp_path / "second", source)

    assert caught.value.code is FailureCode.ARTIFACT_CORRUPT


def test_the_network_says_how_its_inputs_were_standardised(tmp_path: Path) -> None:
    run = jobs.run(tmp_path)
    list(fit(run))
    with safetensors.safe_open(tmp_path / "step-00000009" / "model.safetensors", framework="pt") as file:
        told = json.loads(file.metadata()["normalization"])
    raw, _ = datasets.load(run.spec.dataset)
    pixel = (raw.test_images[0, 0, 3, 4].double() - told["mean"][0]) / told["std"][0]
    image, _ = run.data.test.take(torch.tensor([0]))
    assert image.reshape(8, 8)[3, 4].item() == pytest.approx(pixel.item(), abs=1e-6)


@pytest.mark.parametrize("missing", ["model.safetensors", "state.json", "trainer.safetensors"])
def test_a_manifest_that_leaves_a_file_out_is_refused(tmp_path: Path, missing: str) -> None:
    source = _written(tmp_path)
    contents = folder.read(source)
    del contents[missing]
    folder.write(tmp_path / "less", contents)

    with pytest.raises(ArtifactCorruptError):
        checkpoint.read(tmp_path / "less")


def test_a_tensor_left_out_is_refused(tmp_path: Path) -> None:
    source = _written(tmp_path)
    contents = folder.read(source)
    tensors = safetensors.torch.load(contents["model.safetensors"])
    del tensors["fc1.weight"]
    folder.write(tmp_path / "less", contents | {"model.safetensors": safetensors.torch.save(tensors)})

    with pytest.raises(ArtifactCorruptError, match=r"fc1\.weight"):
        jobs.run(tmp_path / "second", tmp_path / "less")


@pytest.mark.parametrize(
    ("fields", "what"),
    [({"seed": 1}, "spec"), ({"epochs": 4}, "spec"), ({"penalties": [{"kind": "l2", "lambda": 0.1}]}, "spec")],
    ids=["seed", "epochs", "penalties"],
)
def test_a_checkpoint_of_another_spec_is_refused(tmp_path: Path, fields: dict[str, Any], what: str) -> None:
    with pytest.raises(ArtifactCorruptError, match=what):
        jobs.run(tmp_path / "second", _written(tmp_path), **fields)


def test_a_checkpoint_of_other_data_is_refused(tmp_path: Path) -> None:
    run = jobs.run(tmp_path)
    state = checkpoint.read(_written(tmp_path)).state.model_copy(update={"data_sha256": "0" * 64})

    with pytest.raises(ArtifactCorruptError, match="data"):
        checkpoint.restore(run, checkpoint.Saved(state, {}, {}))


def test_what_does_not_touch_training_does_not_make_another_spec(tmp_path: Path) -> None:
    source = _written(tmp_path)

    beside: dict[str, Any] = {"name": "renamed", "priority": 3, "metadata": {"a": "b"}, "limits": {"max_runtime_seconds": 5}}
    run = jobs.run(tmp_path / "second", source, **beside, checkpoints={"resume": "anywhere"})

    assert run.step == 2


@pytest.mark.parametrize(
    "fields", [{"monitor": "train.loss"}, {"mode": "max"}, {"keep_last": 5}, {"keep_best": 5}, {"every_epochs": 2}], ids=str
)
def test_a_policy_that_calls_another_epoch_best_or_keeps_others_makes_another_result_and_so_another_spec(fields: dict[str, Any]) -> None:
    assert checkpoint.spec_sha256(jobs.spec(checkpoints=fields)) != checkpoint.spec_sha256(jobs.spec())


def test_numbers_that_are_not_finite_survive_a_checkpoint(tmp_path: Path) -> None:
    run = jobs.run(tmp_path)
    run.standing.metrics = {"val.loss": math.nan, "train.loss": math.inf}
    run.standing.watched = -math.inf
    source = tmp_path / checkpoint.write(run).folder

    found = build.run(run.spec, tmp_path, source).standing

    assert math.isnan(found.metrics["val.loss"])
    assert (found.metrics["train.loss"], found.watched) == (math.inf, -math.inf)


@pytest.mark.parametrize("broken", ["write_of_a_file", "flush", "rename"])
def test_a_checkpoint_that_cannot_be_written_leaves_nothing_and_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    run = jobs.run(tmp_path)

    def full(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        place = {"write_of_a_file": (folder, "_write"), "flush": (os, "fsync"), "rename": (Path, "rename")}[broken]
        patch.setattr(*place, full)
        with pytest.raises(OSError, match="No space left"):
            checkpoint.write(run)
    assert list(tmp_path.iterdir()) == []

    assert checkpoint.read(tmp_path / checkpoint.write(run).folder).state.standing == run.standing


def test_the_folder_appears_only_after_every_file_was_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, flushed = jobs.run(tmp_path), []
    really = os.fsync

    def watch(descriptor: int) -> None:
        name = Path(os.readlink(f"/proc/self/fd/{descriptor}")).name
        flushed.append((name, (tmp_path / "step-00000000").exists()))
        really(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    checkpoint.write(run)

    before = ["model.safetensors", "trainer.safetensors", "state.json", "manifest.json", "step-00000000.tmp"]
    assert flushed == [*((name, False) for name in before), (tmp_path.name, True)]


def test_memory_that_runs_out_while_a_checkpoint_is_read_is_not_taken_for_its_rot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = jobs.run(tmp_path)
    saved = checkpoint.read(tmp_path / checkpoint.write(run, interim=True).folder)

    def exhausted(*_: object) -> None:
        torch.empty(2**50)

    monkeypatch.setattr(state, "restore", exhausted)
    with pytest.raises(RuntimeError, match="allocate memory"):
        checkpoint.restore(jobs.run(tmp_path / "again"), saved)

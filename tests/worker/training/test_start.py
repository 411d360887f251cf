"""A job that starts from the weights of another trains from there, and remembers nothing else of it."""

import json
from hashlib import sha256
from pathlib import Path

import pytest
import safetensors.torch
import torch

from tests.worker.training import jobs
from worker.training import build, checkpoint
from worker.training.faults import ArtifactCorruptError


def weights(folder: Path, **fields: object) -> Path:
    """The weights that a job of one epoch leaves."""
    run = jobs.run(folder, epochs=1, **fields)
    jobs.said(run)
    return folder / f"step-{run.step:08d}" / "model.safetensors"


def test_a_job_starts_from_the_weights_it_names_and_not_from_its_seed(tmp_path: Path) -> None:
    file = weights(tmp_path / "parent", seed=1)
    run = build.run(jobs.spec(seed=2), tmp_path / "run", start_from=file)
    for name, value in safetensors.torch.load_file(file).items():
        assert torch.equal(run.model.state_dict()[name], value)
    assert (run.step, run.standing.epoch, run.optimizer.state_dict()["state"]) == (0, 0, {})


def test_a_resume_goes_on_from_its_own_checkpoint_whatever_it_started_from(tmp_path: Path) -> None:
    file = weights(tmp_path / "parent", seed=1)
    own = weights(tmp_path / "own").parent
    run = build.run(jobs.spec(epochs=1), tmp_path / "run", own, start_from=file)
    assert run.step > 0
    assert jobs.bits(run) == jobs.bits(build.run(jobs.spec(epochs=1), tmp_path / "again", own))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    file = weights(tmp_path / "parent", model={"kind": "mlp", "hidden": [3]})
    with pytest.raises(ArtifactCorruptError, match="not those of this network"):
        build.run(jobs.spec(model={"kind": "mlp", "hidden": [4]}), tmp_path / "run", start_from=file)


def test_a_checkpoint_written_before_there_was_init_from_is_still_of_the_same_spec() -> None:
    spec = jobs.spec()
    document = spec.model_dump(mode="json", exclude={"name": True, "metadata": True, "limits": True, "priority": True, "init_from": True})
    document["checkpoints"] = {name: value for name, value in document["checkpoints"].items() if name != "resume"}
    assert checkpoint.spec_sha256(spec) == sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    started = spec.model_copy(update={"init_from": "ckpt_" + "0" * 26})
    assert checkpoint.spec_sha256(started) != checkpoint.spec_sha256(spec)

"""An uploaded data set is trained on as it was sent: the same rows as the same data under another name, real values untouched."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from contract.spec import JobSpec, check
from contract.spec import datasets as specs
from tests.worker.training import jobs
from worker.training import build, datasets, fake
from worker.training.faults import DataInvalidError

CPU = torch.device("cpu")
FAKE = specs.Fake(**{key: value for key, value in jobs.TINY.items() if key != "kind"})


def upload(folder: Path, **arrays: Any) -> tuple[dict[str, Any], Path]:
    """What the service's check makes of the arrays: a `dataset` of a spec, and the folder of its files."""
    folder.mkdir()
    np.savez(folder / "upload.npz", **arrays)
    limits = json.dumps({"bytes": 2**30, "seconds": 60})
    command = [sys.executable, "-m", "service.intake", str(folder / "upload.npz"), str(folder), limits]
    told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    facts = told["facts"]
    channels, height, width = facts["shape"]
    known = {name: facts[name] for name in ("outputs", "targets", "train_rows", "unlabelled_rows", "test_rows")}
    known |= {"name": "mine", "sha256": told["sha256"], "channels": channels, "height": height, "width": width}
    return {"kind": "uploaded", "id": f"ds_{'0' * 26}", "resolved": known}, folder / "kept"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """The fake data, uploaded."""
    raw = fake.draw(FAKE)
    parts = {"x_train": raw.train_images, "y_train": raw.train_targets, "x_test": raw.test_images, "y_test": raw.test_targets}
    return upload(tmp_path_factory.mktemp("copy") / "set", **{name: part.numpy() for name, part in parts.items()})


def prepared(dataset: dict[str, Any], folder: Path, *, seed: int = 0, dtype: torch.dtype = torch.float32) -> datasets.Data:
    spec = specs.Uploaded.model_validate(dataset)
    datasets.forget()
    raw, _ = datasets.load(spec, folder)
    return datasets.prepare(raw, spec, seed=seed, images_nhwc=False, dtype=dtype, device=CPU)


def test_a_copy_of_data_that_is_known_otherwise_trains_to_the_same_bits(copy: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    dataset, folder = copy
    preparation = {"validation_fraction": 0.2, "label_noise": 0.1, "missing_labels": 0.1, "missing_pixels": 0.1, "augment": {"flip": 0.5}}
    bits = []
    for each in (jobs.TINY, dataset):
        spec = JobSpec.model_validate(jobs.DEFAULTS | {"dataset": each | preparation})
        assert check.faults(spec) == []
        (scratch := tmp_path / str(len(bits))).mkdir()
        run = build.run(spec, scratch, data_folder=folder)
        jobs.said(run)
        bits.append(jobs.bits(run))
    assert bits[0] == bits[1]


def test_the_lineage_names_the_set_and_its_digest(copy: tuple[dict[str, Any], Path]) -> None:
    dataset, folder = copy
    lineage = prepared(dataset, folder).lineage
    assert (lineage.name, lineage.source, lineage.sha256) == ("mine", "uploaded", dataset["resolved"]["sha256"])
    assert (lineage.train_rows, lineage.validation_rows, lineage.test_rows) == (45, 5, 20)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_real_values_reach_the_network_as_they_are_and_are_not_touched_by_it(tmp_path: Path, dtype: str) -> None:
    x = np.random.default_rng(0).normal(1e3, 1e-3, (40, 5)).astype(dtype)
    dataset, folder = upload(tmp_path / "set", x_train=x, y_train=np.arange(40) % 2, x_test=x[:4], y_test=[0, 1, 0, 1])
    data = prepared(dataset | {"validation_fraction": 0}, folder, dtype=getattr(torch, dtype))
    for _ in range(2):
        assert torch.equal(data.train.between(0, 40)[0].flatten(1), torch.from_numpy(x))
        assert torch.equal(data.train.take(torch.tensor([7]))[0].flatten(1), torch.from_numpy(x[7:8]))


def test_each_feature_is_normalised_alone_by_the_training_rows_when_that_is_asked_for(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal([0, 1e3, -5], [1, 1e-2, 7], (60, 3))
    x[:, 2] = 4.0
    dataset, folder = upload(tmp_path / "set", x=x, y=np.arange(60) % 2)
    data = prepared(dataset | {"normalize": True}, folder, dtype=torch.float64)
    seen = data.train.between(0, len(data.train))[0].flatten(1)
    torch.testing.assert_close(seen.mean(0), torch.zeros(3, dtype=torch.float64), atol=1e-9, rtol=0)
    torch.testing.assert_close(seen.std(0, correction=0), torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64))
    assert len(data.mean) == 3


def test_bytes_are_scaled_to_one_and_standardised_unless_that_is_declined(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (40, 2, 3, 3), np.uint8)
    dataset, folder = upload(tmp_path / "set", x=x, y=np.arange(40) % 2)
    plain = prepared(dataset | {"normalize": False, "validation_fraction": 0}, folder)
    pixels = plain.test.between(0, len(plain.test))[0]
    assert torch.equal(pixels * 255, (pixels * 255).round())
    assert 0 <= float(pixels.min()) < 0.1 < 0.9 < float(pixels.max()) <= 1
    usual = prepared(dataset, folder)
    seen = usual.train.between(0, len(usual.train))[0].double()
    torch.testing.assert_close(seen.mean((0, 2, 3)), torch.zeros(2, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(seen.std((0, 2, 3), correction=0), torch.ones(2, dtype=torch.float64))


def test_test_rows_are_drawn_by_the_seed_from_the_labelled_rows_and_stay_clean(tmp_path: Path) -> None:
    x, y = np.arange(50, dtype=np.float32)[:, None], np.arange(50) % 2
    y[:10] = -1
    dataset, folder = upload(tmp_path / "set", x=x, y=y)
    draws = [prepared(dataset | {"test_fraction": 0.25, "label_noise": 1.0}, folder, seed=seed) for seed in (0, 0, 1)]
    first, again, other = (sorted(data.test.flat.flatten().tolist()) for data in draws)
    assert first == again != other
    assert len(first) == 10
    assert min(first) >= 10
    rows, targets = draws[0].test.between(0, 10)
    assert torch.equal(rows.flatten() % 2, targets.float())
    assert (draws[0].lineage.train_rows, draws[0].lineage.validation_rows, draws[0].lineage.unlabelled_rows) == (27, 3, 10)
    assert len(prepared(dataset, folder).test) == 4


def test_lost_values_become_the_mean_of_their_feature(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal([0, 1e3], 1, (400, 2)).astype(np.float32)
    dataset, folder = upload(tmp_path / "set", x_train=x, y_train=np.arange(400) % 2, x_test=x[:2], y_test=[0, 1])
    data = prepared(dataset | {"missing_pixels": 0.5, "validation_fraction": 0}, folder)
    seen = data.train.between(0, 400)[0].flatten(1)
    lost = seen != torch.from_numpy(x)
    assert 300 < int(lost.sum()) < 500
    for feature in range(2):
        values = seen[lost[:, feature], feature].unique()
        assert values.tolist() == pytest.approx([float(seen[~lost[:, feature], feature].double().mean())], rel=1e-6)


def test_real_targets_train_under_half_mse(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(200, 3))
    dataset, folder = upload(tmp_path / "set", x=x, y=x @ [[1.0], [2.0], [-1.0]])
    fields = {"dataset": dataset, "model": {"kind": "linear"}, "loss": {"kind": "half_mse"}, "optimizer": {"kind": "adam", "lr": 0.1}}
    spec = JobSpec.model_validate(jobs.DEFAULTS | fields | {"epochs": 30})
    assert check.faults(spec) == []
    assert jobs.result(build.run(spec, tmp_path, data_folder=folder)).metrics["test.loss"] < 1e-2


def test_a_set_that_was_not_brought_or_has_another_shape_is_refused(copy: tuple[dict[str, Any], Path]) -> None:
    dataset, folder = copy
    datasets.forget()
    with pytest.raises(DataInvalidError, match="not brought"):
        datasets.load(specs.Uploaded.model_validate(dataset))
    other = dataset | {"resolved": dataset["resolved"] | {"height": 9}}
    with pytest.raises(DataInvalidError, match="another shape"):
        datasets.load(specs.Uploaded.model_validate(other), folder)

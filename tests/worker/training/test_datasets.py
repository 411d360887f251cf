"""A data set is found where it should be, read strictly, named in the lineage, and standardised by its training rows."""

import gzip
import os
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from contract.events import FailureCode
from contract.spec import JobSpec
from contract.spec import datasets as specs
from tests.worker.training import jobs
from worker.training import build, builtin, datasets, idx, rows
from worker.training.faults import DataInvalidError

IMAGES = torch.arange(6 * 28 * 28).remainder(251).to(torch.uint8).view(6, 28, 28)
LABELS = torch.tensor([0, 1, 2, 9, 4, 5], dtype=torch.uint8)


def _idx(values: Tensor) -> bytes:
    header = bytes([0, 0, 8, values.dim()]) + b"".join(size.to_bytes(4) for size in values.shape)
    return header + values.numpy().tobytes()


def _write(folder: Path, *, compressed: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in {
        "train-images-idx3-ubyte": IMAGES,
        "train-labels-idx1-ubyte": LABELS,
        "t10k-images-idx3-ubyte": IMAGES[:2],
        "t10k-labels-idx1-ubyte": LABELS[:2],
    }.items():
        content = _idx(values)
        (folder / (f"{name}.gz" if compressed else name)).write_bytes(gzip.compress(content) if compressed else content)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder's place for Fashion-MNIST; no other source exists."""
    monkeypatch.setenv("RIDGELINE_DATA_FOLDER", str(tmp_path))
    only = [("data_folder", tmp_path / "fashion_mnist"), ("shipped_subset", tmp_path / "shipped")]
    monkeypatch.setattr(builtin, "_folders", lambda name: only)
    datasets.forget()
    return tmp_path / "fashion_mnist"


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gz"])
def test_a_set_is_read_as_it_was_written(folder: Path, *, compressed: bool) -> None:
    _write(folder, compressed=compressed)

    raw, warnings = datasets.load(specs.Builtin())

    assert torch.equal(raw.train_images.squeeze(1), IMAGES)
    assert torch.equal(raw.train_targets, LABELS)
    assert (raw.source, warnings) == ("data_folder", [])
    # Of the values alone, so that plain and compressed files are the same data.
    values = b"".join(part.numpy().tobytes() for part in (IMAGES, LABELS, IMAGES[:2], LABELS[:2]))
    assert raw.sha256 == sha256(values).hexdigest()


def test_the_sources_are_the_data_folder_then_the_system_package_then_the_shipped_subset(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RIDGELINE_DATA_FOLDER", str(tmp_path))

    found = builtin._folders("fashion_mnist")

    assert [kind for kind, _ in found] == ["data_folder", "system_package", "system_package", "shipped_subset"]
    assert [str(folder) for _, folder in found][:3] == [
        f"{tmp_path}/fashion_mnist",
        "/usr/share/datasets/fashion-mnist",
        "/usr/share/datasets/fashion_mnist",
    ]


def test_an_incomplete_folder_is_passed_over_and_said(folder: Path) -> None:
    _write(folder)
    (folder / "t10k-labels-idx1-ubyte").unlink()
    _write(folder.parent / "shipped")

    raw, warnings = datasets.load(specs.Builtin())

    assert raw.source == "shipped_subset"
    assert warnings == [f"{folder} lacks t10k-labels-idx1-ubyte and was passed over"]


def test_a_set_that_is_nowhere_is_data_invalid_and_names_where_it_was_looked_for(folder: Path) -> None:
    with pytest.raises(DataInvalidError, match=str(folder)) as caught:
        datasets.load(specs.Builtin())

    assert caught.value.code is FailureCode.DATA_INVALID


WHOLE = _idx(IMAGES)
FAULTS = {
    "an_empty_file": (b"", "ends within its header"),
    "half_a_header": (WHOLE[:10], "ends within its header"),
    "another_magic": (b"\x01" + WHOLE[1:], "begins with 0100"),
    "another_type": (WHOLE[:2] + b"\x0d" + WHOLE[3:], "type 0x0d"),
    "another_rank": (_idx(LABELS.repeat(8)), "has 1 dimensions where 3"),
    "a_byte_too_few": (WHOLE[:-1], "holds only 4,703"),
    "a_byte_too_many": (WHOLE + b"\0", "holds more"),
    "no_rows": (_idx(IMAGES[:0]), "is empty"),
    "an_absurd_size": (WHOLE[:4] + b"\xff" * 12, "beyond"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_file_is_named_with_its_fault(tmp_path: Path, fault: str) -> None:
    content, said = FAULTS[fault]
    path = tmp_path / "images"
    path.write_bytes(content)

    with pytest.raises(DataInvalidError, match=said) as caught:
        idx.read(path, 3)

    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "damage", [lambda whole: whole[:-20], lambda whole: b"no gzip at all", lambda whole: whole[:50] + b"\0" + whole[51:]]
)
def test_a_broken_gzip_file_is_named(tmp_path: Path, damage: "object") -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(damage(gzip.compress(_idx(torch.randint(256, (6, 28, 28)).to(torch.uint8)))))  # type: ignore[operator]

    with pytest.raises(DataInvalidError, match=r"images\.gz"):
        idx.read(path, 3)


@pytest.mark.parametrize(("code", "stored"), [(0x09, "i1"), (0x0B, ">i2"), (0x0C, ">i4")], ids=["int8", "int16", "int32"])
def test_a_label_file_of_a_signed_type_may_say_that_a_label_is_missing(folder: Path, code: int, stored: str) -> None:
    _write(folder)
    classes = [0, -1, 2, 9, -1, 5]
    header = bytes([0, 0, code, 1]) + (6).to_bytes(4)
    (folder / "train-labels-idx1-ubyte").write_bytes(header + np.array(classes, stored).tobytes())

    raw, _ = datasets.load(specs.Builtin())
    data = datasets.prepare(
        raw, specs.Builtin(validation_fraction=0), seed=0, images_nhwc=False, dtype=torch.float32, device=torch.device("cpu")
    )

    assert raw.train_targets.tolist() == classes
    assert data.train.targets.tolist() == [0, 2, 9, 5]
    assert torch.equal(data.train.flat, IMAGES[[0, 2, 3, 5]].flatten(1))
    assert (data.lineage.train_rows, data.lineage.unlabelled_rows) == (4, 2)


@pytest.mark.parametrize("which", ["train", "t10k"])
def test_a_file_without_any_label_is_data_invalid(folder: Path, which: str, tmp_path: Path) -> None:
    _write(folder)
    rows = 6 if which == "train" else 2
    (folder / f"{which}-labels-idx1-ubyte").write_bytes(bytes([0, 0, 9, 1]) + rows.to_bytes(4) + b"\xff" * rows)

    with pytest.raises(DataInvalidError, match=f"none of the {rows} .* rows has a label"):
        build.run(JobSpec(), tmp_path)


def _signed(*classes: int) -> bytes:
    return bytes([0, 0, 9, 1]) + len(classes).to_bytes(4) + np.array(classes, "i1").tobytes()


@pytest.mark.parametrize(("label", "said"), [(-2, "the label -2; .* -1 for a missing label"), (10, "the label 10")])
def test_a_label_that_is_neither_a_class_nor_missing_is_refused_by_its_name(folder: Path, label: int, said: str) -> None:
    _write(folder)
    (folder / "train-labels-idx1-ubyte").write_bytes(_signed(0, 1, label, 3, -1, 5))

    with pytest.raises(DataInvalidError, match=said):
        datasets.load(specs.Builtin())


def test_images_of_a_signed_type_are_refused(tmp_path: Path) -> None:
    (tmp_path / "images").write_bytes(WHOLE[:2] + b"\x09" + WHOLE[3:])

    with pytest.raises(DataInvalidError, match="type 0x09; only whole numbers of type 0x08 are known here"):
        idx.read(tmp_path / "images", 3)


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("train-images-idx3-ubyte", IMAGES[:, :14], "28 x 28"),
        ("train-labels-idx1-ubyte", LABELS[:5], "5 labels for 6 images"),
        ("train-labels-idx1-ubyte", LABELS + 1, "the label 10"),
    ],
)
def test_files_that_do_not_fit_one_another_are_data_invalid(folder: Path, name: str, values: Tensor, said: str) -> None:
    _write(folder)
    (folder / name).write_bytes(_idx(values))

    with pytest.raises(DataInvalidError, match=said):
        datasets.load(specs.Builtin())


def test_a_set_is_read_once_until_it_changes_on_disk(folder: Path) -> None:
    _write(folder)
    first, _ = datasets.load(specs.Builtin())
    assert datasets.load(specs.Builtin(validation_fraction=0.5))[0] is first

    path = folder / "train-labels-idx1-ubyte"
    path.write_bytes(_idx(LABELS.flip(0)))
    os.utime(path, ns=(0, 0))

    assert torch.equal(datasets.load(specs.Builtin())[0].train_targets, LABELS.flip(0))


def test_jobs_that_differ_in_what_they_do_to_a_set_read_it_once() -> None:
    datasets.forget()
    first, _ = datasets.load(specs.Fake(train_rows=4))

    prepared = specs.Fake(
        train_rows=4, name="other", label_noise=0.5, missing_pixels=0.5, missing_labels=0.5, augment=specs.Augment(flip=0.5)
    )
    assert datasets.load(prepared)[0] is first


def test_only_the_last_two_sets_are_kept() -> None:
    datasets.forget()
    first = datasets.load(specs.Fake(data_seed=1, train_rows=4))[0]
    datasets.load(specs.Fake(data_seed=2, train_rows=4))
    assert datasets.load(specs.Fake(data_seed=1, train_rows=4))[0] is first
    datasets.load(specs.Fake(data_seed=3, train_rows=4))
    datasets.load(specs.Fake(data_seed=4, train_rows=4))

    assert datasets.load(specs.Fake(data_seed=1, train_rows=4))[0] is not first


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (specs.Fake(train_rows=20, test_rows=5), "b7e9173d2ad58767aebef0cf8181d4a5dfb299109bab561579b588682b4a0994"),
        (
            specs.Fake(train_rows=20, test_rows=5, targets="real", outputs=3, channels=2, height=5, width=7, noise=0.5),
            "8a0e84fee9cc37357daec225483ab636f7ebdc3a1ac048dc6e105a6587424170",
        ),
    ],
)
def test_a_fake_set_is_the_same_on_every_machine(spec: specs.Fake, expected: str) -> None:
    datasets.forget()

    assert datasets.load(spec)[0].sha256 == expected


def test_fake_sets_of_other_seeds_are_other_sets() -> None:
    found = {datasets.load(specs.Fake(data_seed=seed, train_rows=4))[0].sha256 for seed in range(3)}

    assert len(found) == 3


def test_fake_classes_can_be_learned(tmp_path: Path) -> None:
    found = jobs.result(jobs.run(tmp_path, epochs=15, optimizer={"kind": "adam", "lr": 0.01}))

    assert found.metrics["test.accuracy"] > 0.9


def test_fake_real_targets_without_noise_are_a_linear_map(tmp_path: Path) -> None:
    data = jobs.TINY | {"targets": "real", "noise": 0.0, "train_rows": 300, "height": 4, "width": 4}
    fields = {"dataset": data, "model": {"kind": "linear"}, "loss": {"kind": "half_mse"}, "epochs": 40, "checkpoints": {"every_epochs": 40}}
    found = jobs.result(jobs.run(tmp_path, optimizer={"kind": "sgd", "lr": 0.1}, **fields))

    # Bytes round the pixels, and clip one in some ten thousand; nothing else is lost.
    assert found.metrics["test.loss"] < 2e-3
    assert found.confusion is None
    assert "test.accuracy" not in found.metrics


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_each_channel_is_standardised_by_the_training_rows_alone(tmp_path: Path, precision: str) -> None:
    data = jobs.TINY | {"channels": 2}
    run = jobs.run(tmp_path, dataset=data, precision=precision, model={"kind": "cnn", "channels": [2], "hidden": []})
    images, _ = run.data.train.between(0, 40)
    assert run.data.validation is not None
    held_out, _ = run.data.validation.between(0, 10)

    assert images.mean((0, 2, 3)).tolist() == pytest.approx([0, 0], abs=1e-5)
    assert images.std((0, 2, 3), correction=0).tolist() == pytest.approx([1, 1], abs=1e-5)
    assert held_out.mean((0, 2, 3)).abs().min() > 1e-3


def test_a_channel_without_contrast_becomes_zero(folder: Path, tmp_path: Path) -> None:
    _write(folder)
    for name in ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte"):
        (folder / name).write_bytes(_idx(torch.full((6 if "train" in name else 2, 28, 28), 7, dtype=torch.uint8)))

    run = jobs.run(tmp_path / "scratch", dataset={"kind": "builtin"}, model={"kind": "linear"})

    images, _ = run.data.train.between(0, len(run.data.train))
    assert images.count_nonzero() == 0


def test_the_seed_draws_the_validation_rows_and_every_row_is_in_one_half(tmp_path: Path) -> None:
    def halves(seed: int) -> tuple[set[bytes], set[bytes]]:
        data = jobs.run(tmp_path, seed=seed).data
        assert data.validation is not None
        assert (data.lineage.train_rows, data.lineage.validation_rows, data.lineage.test_rows) == (40, 10, 20)
        return tuple({row.numpy().tobytes() for row in rows.flat} for rows in (data.train, data.validation))  # type: ignore[return-value]

    train, validation = halves(0)

    assert (len(train), len(validation), len(train & validation)) == (40, 10, 0)
    assert halves(0) == (train, validation)
    assert halves(1)[1] != validation


def test_a_fraction_of_few_rows_still_holds_out_one(tmp_path: Path) -> None:
    run = jobs.run(tmp_path, dataset=jobs.TINY | {"train_rows": 4, "validation_fraction": 0.1})

    assert (run.data.lineage.train_rows, run.data.lineage.validation_rows) == (3, 1)


def test_a_split_that_leaves_no_row_to_train_on_is_data_invalid(tmp_path: Path) -> None:
    with pytest.raises(DataInvalidError, match="holding out 1 of 1 rows"):
        # As a builtin set with a single row would: the API knows no row counts of those.
        build.run(JobSpec.model_validate({"dataset": jobs.TINY | {"train_rows": 1, "validation_fraction": 0.1}}), tmp_path)


@pytest.mark.parametrize("model", [{"kind": "mlp"}, {"kind": "cnn", "channels": [2], "hidden": []}], ids=["mlp", "cnn"])
def test_a_batch_is_the_rows_asked_for_whatever_their_layout(tmp_path: Path, model: dict[str, object]) -> None:
    data = jobs.TINY | {"channels": 3, "validation_fraction": 0}
    run = jobs.run(tmp_path, dataset=data, model=model)
    raw, _ = datasets.load(run.spec.dataset)

    images, targets = run.data.train.take(torch.tensor([7, 3]))

    mean, std = (moment.float().view(1, 3, 1, 1) for moment in (run.data.mean, run.data.std))
    assert torch.equal(images, (raw.train_images[[7, 3]].float() - mean) / std)
    assert torch.equal(images, run.data.train.between(0, 8)[0][[7, 3]])
    assert run.data.train.flat.dtype == torch.uint8
    assert torch.equal(targets, raw.train_targets[[7, 3]].long())
    assert images.is_contiguous(memory_format=torch.channels_last if model["kind"] == "cnn" else torch.contiguous_format)


@pytest.mark.parametrize("model", [{"kind": "mlp"}, {"kind": "cnn", "channels": [2], "hidden": []}], ids=["mlp", "cnn"])
def test_jobs_of_a_set_share_one_copy_of_it_whatever_their_split_and_leave_it_as_it_was(tmp_path: Path, model: dict[str, object]) -> None:
    data = jobs.TINY | {"channels": 3}
    first = jobs.run(tmp_path, dataset=data, model=model).data
    before = first.train.flat.clone()

    spoiled = jobs.run(tmp_path / "spoiled", dataset=data | {"missing_pixels": 0.5, "validation_fraction": 0.5}, model=model)
    jobs.said(spoiled)
    second = jobs.run(tmp_path / "second", dataset=data | {"validation_fraction": 0.5}, model=model, seed=7)
    jobs.said(second)

    assert second.data.validation is not None
    wholes = (first.train.whole, second.data.train.whole, second.data.validation.whole)
    assert len({whole.data_ptr() for whole in wholes}) == 1
    assert spoiled.data.train.whole.data_ptr() != first.train.whole.data_ptr()
    assert torch.equal(first.train.flat, before)


def test_a_layout_too_large_to_keep_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    raw, _ = datasets.load(specs.Fake(train_rows=4, test_rows=1, channels=3))
    cpu = torch.device("cpu")
    assert raw.laid(cpu, nhwc=True)[0] is raw.laid(cpu, nhwc=True)[0]

    monkeypatch.setattr(rows, "_KEPT_BYTES", 0)

    assert raw.laid(cpu, nhwc=False)[0] is not raw.laid(cpu, nhwc=False)[0]
    assert torch.equal(raw.laid(cpu, nhwc=False)[0], raw.train_images.flatten(1))


@pytest.mark.parametrize("missing_pixels", [0.0, 0.5])
def test_the_moments_are_those_of_the_training_rows_alone_as_they_are_trained_on(tmp_path: Path, missing_pixels: float) -> None:
    run = jobs.run(tmp_path, dataset=jobs.TINY | {"channels": 3, "train_rows": 700, "missing_pixels": missing_pixels})
    values = run.data.train.flat.view(-1, 3, 64).double()

    assert torch.allclose(run.data.mean, values.mean((0, 2)), rtol=1e-14, atol=0)
    assert torch.allclose(run.data.std, values.std((0, 2), correction=0), rtol=1e-12, atol=0)

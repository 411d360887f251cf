"""Flaws put in on purpose are as many as asked for, the same for the same seed, and nowhere but in the training file's rows."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from contract.spec import JobSpec, check
from contract.spec import datasets as specs
from tests.worker.training import jobs
from worker.training import datasets, flaws
from worker.training.datasets import Data

TARGETS = torch.arange(1000) % 5


def _noisy(share: float, *, seed: int = 0, missing: float = 0.0) -> Tensor:
    return flaws.labels(TARGETS, specs.Fake(outputs=5, label_noise=share, missing_labels=missing), seed)


def _prepared(seed: int = 0, **fields: Any) -> Data:
    dataset = jobs.spec(dataset=jobs.TINY | {"channels": 2} | fields).dataset
    raw, _ = datasets.load(dataset)
    return datasets.prepare(raw, dataset, seed=seed, images_nhwc=False, dtype=torch.float32, device=torch.device("cpu"))


def _rows(rows: datasets.Rows | None) -> tuple[bytes, list[int]]:
    assert rows is not None
    return rows.flat.numpy().tobytes(), rows.targets.tolist()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.2, 0.4567, 1.0])
def test_label_noise_replaces_exactly_its_share_of_the_labels(share: float) -> None:
    assert int((_noisy(share) != TARGETS).sum()) == round(1000 * share)


def test_a_noisy_label_is_each_other_class_as_often() -> None:
    found = _noisy(1.0)

    turns = torch.bincount((found - TARGETS) % 5, minlength=5)
    assert turns[0] == 0
    # Four classes of 250 expected each, with a standard deviation of 14.
    assert turns[1:].min() > 200


def test_the_seed_decides_which_labels_are_noisy_and_a_larger_share_keeps_the_smaller_ones() -> None:
    assert torch.equal(_noisy(0.3, seed=4), _noisy(0.3, seed=4))
    assert not torch.equal(_noisy(0.3, seed=4), _noisy(0.3, seed=5))
    hit = _noisy(0.1) != TARGETS
    assert torch.equal(_noisy(0.3)[hit], _noisy(0.1)[hit])


def test_labels_go_missing_in_exactly_their_share_and_noise_falls_on_the_others() -> None:
    found = _noisy(0.25, missing=0.2)

    assert int((found == -1).sum()) == 200
    assert int(((found != TARGETS) & (found >= 0)).sum()) == 200


def test_a_label_that_was_missing_in_the_file_gets_no_noise() -> None:
    targets = TARGETS.where(TARGETS > 0, -1)

    found = flaws.labels(targets, specs.Fake(outputs=5, label_noise=1.0), seed=0)

    assert torch.equal(found == -1, targets == -1)


def test_rows_without_a_label_are_left_out_everywhere_and_counted() -> None:
    whole, data = _prepared(), _prepared(missing_labels=0.4)

    lineage = data.lineage
    assert (lineage.train_rows, lineage.validation_rows, lineage.test_rows, lineage.unlabelled_rows) == (24, 6, 20, 20)
    assert [len(data.train), len(data.validation or ()), len(data.test)] == [24, 6, 20]
    assert min(data.train.targets.tolist()) >= 0
    assert lineage.sha256 == whole.lineage.sha256
    assert whole.lineage.unlabelled_rows == 0


def test_the_rows_that_keep_their_labels_keep_their_images() -> None:
    whole, data = _prepared(validation_fraction=0), _prepared(validation_fraction=0, missing_labels=0.4)

    known = dict(zip(map(bytes, whole.train.flat.numpy()), whole.train.targets.tolist(), strict=True))
    assert [known[bytes(row)] for row in data.train.flat.numpy()] == data.train.targets.tolist()


FLAWS: dict[str, dict[str, Any]] = {"noise": {"label_noise": 0.5}, "pixels": {"missing_pixels": 0.3}, "labels": {"missing_labels": 0.3}}


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flaw_is_in_the_rows_to_train_and_to_validate_on_and_never_in_the_test_rows(flaw: str) -> None:
    whole, data = _prepared(), _prepared(**FLAWS[flaw])

    assert _rows(data.train) != _rows(whole.train)
    assert _rows(data.validation) != _rows(whole.validation)
    assert _rows(data.test) == _rows(whole.test)
    again = _prepared(**FLAWS[flaw])
    assert [_rows(again.train), _rows(again.validation)] == [_rows(data.train), _rows(data.validation)]
    assert _rows(_prepared(seed=1, **FLAWS[flaw]).train) != _rows(data.train)


def test_a_missing_pixel_is_missing_in_all_channels_and_stands_at_the_mean_of_what_is_left() -> None:
    whole, data = _prepared(validation_fraction=0), _prepared(validation_fraction=0, missing_pixels=0.25)
    before, after = (rows.train.flat.view(50, 2, 64) for rows in (whole, data))

    # A lost pixel may have had the mean's value, so that not both channels need show it.
    lost = (before != after).any(1, keepdim=True).expand_as(before)
    means = [int(after[:, channel][lost[:, channel]].unique()) for channel in (0, 1)]
    left = [before[:, channel][~lost[:, channel]].double().mean().item() for channel in (0, 1)]

    assert means == pytest.approx(left, abs=0.5 + 0.05)
    # 3,200 pixels: a quarter, within five standard deviations.
    assert int(lost[:, 0].sum()) == pytest.approx(800, abs=123)


def test_the_mean_for_missing_pixels_is_that_of_the_training_rows() -> None:
    images = torch.cat([torch.full((4, 1, 8, 8), 10, dtype=torch.uint8), torch.full((4, 1, 8, 8), 200, dtype=torch.uint8)])

    found = flaws.pixels(images, torch.arange(4), specs.Fake(missing_pixels=0.5), seed=0)

    assert found.unique().tolist() == [10, 200]
    assert found[:4].unique().tolist() == [10]


def test_a_larger_share_of_missing_pixels_takes_the_same_ones_and_more() -> None:
    images = torch.arange(2 * 64).to(torch.uint8).view(2, 1, 8, 8)
    some, more = (flaws.pixels(images, torch.tensor([0]), specs.Fake(missing_pixels=share), seed=3) != images for share in (0.2, 0.6))

    assert 0 < int(some.sum()) < int(more.sum())
    assert bool((more | ~some).all())


@pytest.mark.parametrize(
    ("data", "pointer", "words"),
    [
        ({"targets": "real", "label_noise": 0.1}, "/dataset/label_noise", "for classes"),
        ({"targets": "real", "missing_labels": 0.1}, "/dataset/missing_labels", "for classes"),
        ({"outputs": 1, "label_noise": 0.1}, "/dataset/label_noise", "no other"),
        ({"train_rows": 1, "missing_labels": 0.9, "validation_fraction": 0}, "/dataset/missing_labels", "leaves none"),
        ({"train_rows": 3, "missing_labels": 0.6}, "/dataset/validation_fraction", "holding out 1 of 1"),
        ({"height": 28, "width": 9, "augment": {"crop": 9}}, "/dataset/augment/crop", "28 x 9"),
    ],
)
def test_a_flaw_that_the_data_cannot_have_is_refused_with_its_place(data: dict[str, Any], pointer: str, words: str) -> None:
    fields = {"dataset": {"kind": "fake", **data}, "loss": {"kind": "half_mse"}, "model": {"kind": "linear"}}

    found = {fault.pointer: fault.message for fault in check.faults(JobSpec.model_validate(fields))}

    assert list(found) == [pointer]
    assert words in found[pointer]


def test_a_job_on_flawed_data_trains_and_says_how_many_rows_it_left_out(tmp_path: Path) -> None:
    data = jobs.TINY | {"label_noise": 0.2, "missing_labels": 0.2, "missing_pixels": 0.1}

    found = jobs.result(jobs.run(tmp_path, dataset=data, loss={"kind": "gce"}))

    assert found.data.unlabelled_rows == 10
    assert sum(map(sum, found.confusion or ())) == 20

"""Augmentation gives torchvision's pixels with a draw for each row, and the same ones however a job is cut into batches and attempts."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as V

from contract.spec.datasets import Augment
from tests.worker.training import jobs
from worker.training import augment, batches, checkpoint
from worker.training.rows import Rows, lay

ALL = {"flip": 0.5, "crop": 3, "erase": 0.5}
HEIGHT, WIDTH = 9, 12


def _rows(channels: int, *, nhwc: bool, rows: int = 40) -> tuple[Rows, Tensor]:
    images = torch.randint(1, 256, (rows, channels, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    mean, std = torch.arange(channels) * 10.0 + 100, torch.arange(channels) + 50.0
    whole, numbers = lay(images, torch.device("cpu"), nhwc=nhwc), torch.arange(rows)
    made = Rows.of(whole, numbers, numbers, mean, std, image=(channels, HEIGHT, WIDTH), nhwc=nhwc, dtype=torch.float32)
    return made, images


def _draw(fields: dict[str, Any], *, seed: int = 0, epoch: int = 0, rows: int = 40) -> augment.Draws:
    return augment.draw(Augment(**fields), rows, HEIGHT, WIDTH, seed=seed, epoch=epoch)


def _theirs(image: Tensor, draws: augment.Draws, row: int, mean: Tensor, std: Tensor) -> Tensor:
    """What torchvision makes of one image by the row's draw."""
    if draws.corner is not None:
        top, left = draws.corner[row].tolist()
        image = V.crop(V.pad(image, [draws.padding]), top, left, HEIGHT, WIDTH)
    if draws.flip is not None and draws.flip[row]:
        image = V.horizontal_flip(image)
    values = (image.float() - mean) / std
    if draws.box is not None:
        values = V.erase(values, *draws.box[row].tolist(), v=torch.zeros(1, 1, 1))
    return values


@pytest.mark.parametrize("nhwc", [False, True], ids=["nchw", "nhwc"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("asked", [{}, {"flip": 1.0}, {"crop": 2}, {"erase": 1.0}, {"flip": 0.5, "crop": 8}, ALL], ids=str)
def test_each_image_is_what_torchvision_makes_of_it_by_its_own_draw(asked: dict[str, Any], channels: int, *, nhwc: bool) -> None:
    rows, images = _rows(channels, nhwc=nhwc)
    draws, chosen = _draw(asked), torch.randperm(40, generator=torch.Generator().manual_seed(1))

    found, targets = rows.take(chosen, draws)

    mean, std = rows.mean[0], rows.std[0]
    expected = torch.stack([_theirs(images[row], draws, row, mean, std) for row in chosen.tolist()])
    assert torch.equal(found, expected)
    assert torch.equal(targets, chosen)
    assert found.is_contiguous(memory_format=torch.channels_last if nhwc else torch.contiguous_format)


def test_the_draws_of_a_batch_differ_from_row_to_row_and_each_happens_as_often_as_asked() -> None:
    draws = _draw(ALL, rows=4000)

    assert draws.corner is not None
    assert draws.flip is not None
    assert draws.box is not None
    # Five standard deviations of a count of halves are 158; each of seven corners comes 571 times give or take 111.
    assert int(draws.flip.sum()) == pytest.approx(2000, abs=158)
    assert int((draws.box[:, 2:].prod(1) > 0).sum()) == pytest.approx(2000, abs=158)
    for places in draws.corner.T:
        assert torch.bincount(places, minlength=7).tolist() == pytest.approx([571] * 7, abs=111)


def test_the_rectangles_erased_are_drawn_as_torchvision_draws_them() -> None:
    draws = augment.draw(Augment(erase=1.0), 4000, 32, 20, seed=0, epoch=0)
    assert draws.box is not None
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = [v2.RandomErasing(p=1.0).make_params([torch.zeros(3, 32, 20)]) for _ in range(1500)]
    theirs = torch.tensor([[params[name] for name in "ijhw"] for params in made], dtype=torch.float64)

    ours = draws.box.double()
    assert bool((draws.box[:, :2] + draws.box[:, 2:] <= torch.tensor([32, 20])).all())
    # The mean of each of top, left, height, width, within five standard errors; and how widely each varies.
    error = theirs.std(0) * (1 / 1500 + 1 / 4000) ** 0.5
    assert bool(((ours.mean(0) - theirs.mean(0)).abs() < 5 * error).all())
    assert ours.std(0).tolist() == pytest.approx(theirs.std(0).tolist(), rel=0.1)


def test_a_rows_draw_is_the_same_in_whatever_batch_it_comes() -> None:
    rows, _ = _rows(3, nhwc=True)
    draws = _draw(ALL)
    whole, _ = rows.take(torch.arange(40), draws)

    for batch in ([7], [39, 7, 0], list(range(39, -1, -1))):
        assert torch.equal(rows.take(torch.tensor(batch), draws)[0], whole[batch])


def test_seed_and_epoch_decide_the_draws_and_one_kind_leaves_the_others_alone() -> None:
    def told(draws: augment.Draws) -> list[Any]:
        return [None if part is None else part.tolist() for part in (draws.corner, draws.flip, draws.box)]

    first = told(_draw(ALL))
    assert told(_draw(ALL)) == first
    for other in (told(_draw(ALL, epoch=1)), told(_draw(ALL, seed=1))):
        assert all(one != another for one, another in zip(first, other, strict=True))
    assert told(_draw({"crop": 3})) == [first[0], None, None]
    assert told(_draw({"flip": 0.5, "erase": 0.5})) == [None, *first[1:]]


def test_only_the_training_rows_are_augmented_and_only_to_train(tmp_path: Path) -> None:
    plain, run = (jobs.run(tmp_path, dataset=jobs.TINY | {"augment": asked}) for asked in (None, ALL))

    for rows, theirs in (
        (run.data.train, plain.data.train),
        (run.data.validation, plain.data.validation),
        (run.data.test, plain.data.test),
    ):
        assert rows is not None
        assert theirs is not None
        assert torch.equal(rows.between(0, len(rows))[0], theirs.between(0, len(rows))[0])
    order, same = batches.order(run), batches.order(plain)
    assert order is not None
    assert same is not None
    assert torch.equal(order.steps[0], same.steps[0])
    assert not torch.equal(batches.take(run, order)[0], batches.take(plain, same)[0])


@pytest.mark.parametrize("batch_size", [16, "full"])
def test_a_step_that_looks_twice_at_its_rows_sees_the_same_images_and_the_next_epoch_others(tmp_path: Path, batch_size: Any) -> None:
    run = jobs.run(tmp_path, dataset=jobs.TINY | {"augment": ALL}, batch_size=batch_size, optimizer={"kind": "sgd"})

    def seen() -> Tensor:
        order = batches.order(run)
        return torch.cat([images for images, _, _ in batches.parts(run)]) if order is None else batches.take(run, order)[0]

    first = seen()
    assert torch.equal(seen(), first)
    run.standing.epoch = 1
    assert not torch.equal(seen(), first)


def test_the_parts_of_a_full_batch_are_the_rows_in_their_order(tmp_path: Path) -> None:
    data = jobs.TINY | {"train_rows": 300, "validation_fraction": 0, "augment": ALL}
    run = jobs.run(tmp_path, dataset=data, batch_size="full", optimizer={"kind": "gd"})

    parts = list(batches.parts(run))

    draws = augment.draw(Augment(**ALL), 300, 8, 8, seed=0, epoch=0)
    assert torch.equal(torch.cat([images for images, _, _ in parts]), run.data.train.take(torch.arange(300), draws)[0])
    assert torch.equal(torch.cat([targets for _, targets, _ in parts]), run.data.train.targets)
    assert sum(share for _, _, share in parts) == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize(("batch_size", "stop"), [(16, 2), (16, 3), ("full", 1)])
def test_an_interrupted_augmented_job_ends_as_the_uninterrupted_one_to_the_bit(tmp_path: Path, batch_size: Any, stop: int) -> None:
    fields = {"dataset": jobs.TINY | {"augment": ALL, "label_noise": 0.2, "missing_pixels": 0.1}, "model": jobs.CONVOLUTIONAL}
    fields |= {"batch_size": batch_size}
    whole = jobs.run(tmp_path / "whole", **fields)
    told = [jobs.lasting(event) for event in jobs.said(whole)]

    first = jobs.run(tmp_path / "first", **fields)
    jobs.to_step(first, stop)
    source = tmp_path / "first" / checkpoint.write(first, interim=True).folder
    second = jobs.run(tmp_path / "second", source, **fields)
    rest = [jobs.lasting(event) for event in jobs.said(second)]

    assert jobs.bits(second) == jobs.bits(whole)
    assert [epoch for epoch in rest if epoch] == [epoch for epoch in told if epoch]


class _Count(TorchDispatchMode):
    """How many operations reach the device."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not func.is_view:
            self.done.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("asked", "most"), [({}, 0), ({"flip": 0.5}, 8), ({"flip": 0.5, "crop": 4}, 12), ({"erase": 0.5}, 8), (ALL, 20)])
def test_augmentation_adds_a_handful_of_operations_to_a_step(asked: dict[str, Any], most: int) -> None:
    rows, _ = _rows(1, nhwc=True)
    counts = []
    for draws in (None, _draw(asked)):
        with _Count() as count:
            rows.take(torch.arange(16), draws)
        counts.append(count.done)

    assert len(counts[1]) - len(counts[0]) <= most, counts[1]

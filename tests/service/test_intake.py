"""What an archive of IDX files or of images is kept as: the same rows, pixels and classes, whatever they were packed in."""

import gzip
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.service.checked import faults, taken
from tests.service.test_hostile_uploads import idx, zipped


def drawn(pixels: Any, mode: str | None = None, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(np.asarray(pixels, np.uint8))
    (image.convert(mode) if mode else image).save(file, kind, **options)
    return file.getvalue()


# --- IDX ----------------------------------------------------------------------------------------------------------------------------

DRAWINGS = np.arange(2 * 4 * 2 * 3, dtype=np.uint8).reshape(2, 4, 2, 3)  # to train and to test on: [split, n, height, width]
NUMBERS = np.array([[0, 1, 1, 0], [1, 0, 0, 1]], np.uint8)


@pytest.mark.parametrize(("pack", "suffix"), [(bytes, ""), (gzip.compress, ".gz"), (gzip.compress, ".GZ")])
@pytest.mark.parametrize(
    ("form", "test"),
    [("mnist/raw/{}-{}-idx{}-ubyte", "t10k"), ("{}-{}.idx{}", "test"), ("{}-{}-IDX{}", "TEST"), ("emnist-{}-{}{}-Ubyte", "Test")],
)
def test_idx_files_are_taken_plain_and_packed_with_their_roles_by_name(
    pack: Callable[[bytes], bytes], suffix: str, form: str, test: str
) -> None:
    files = [
        (form.format(split, what, values.ndim) + suffix, pack(idx(values)))
        for split, images, labels in zip(("train", test), DRAWINGS, NUMBERS, strict=True)
        for what, values in (("images", images), ("labels", labels))
    ]
    kept, facts = taken(zipped(*files, ("__MACOSX/._x", b"x"), ("raw/.DS_Store", b"x")))
    assert (facts["format"], facts["shape"], facts["train_rows"], facts["test_rows"]) == ("idx", [1, 2, 3], 4, 4)
    for split, images, labels in zip(("train", "test"), DRAWINGS, NUMBERS, strict=True):
        assert np.array_equal(kept[f"x_{split}"][:, 0], images)
        assert np.array_equal(kept[f"y_{split}"], labels)
        assert (kept[f"x_{split}"].dtype, kept[f"y_{split}"].dtype) == (np.dtype("|u1"), np.dtype("<i2"))


def test_idx_values_of_several_bytes_are_read_in_the_order_they_are_written_in() -> None:
    images, labels = np.linspace(-1, 1, 24).reshape(4, 2, 3), NUMBERS[0]
    for code, kind, stored in ((0x0D, ">f4", "<f4"), (0x0E, ">f8", "<f8")):
        body = zipped(("train-images.idx3", idx(images.astype(kind), code)), ("train-labels.idx1", idx(labels.astype(">i4"), 0x0C)))
        kept, _ = taken(body)
        assert kept["x_train"].dtype.str == stored
        assert np.array_equal(kept["x_train"][:, 0], images.astype(stored))
        assert np.array_equal(kept["y_train"], labels)


@pytest.mark.parametrize(("code", "kind"), [(0x08, "u1"), (0x09, "i1"), (0x0B, ">i2"), (0x0C, ">i4")])
def test_idx_labels_are_whole_numbers_of_any_size(code: int, kind: str) -> None:
    colours = DRAWINGS[0].reshape(2, 2, 2, 3)  # [n, channels, height, width]
    kept, _ = taken(zipped(("train-images-idx4", idx(colours)), ("train-labels-idx1", idx(NUMBERS[0][:2].astype(kind), code))))
    assert np.array_equal(kept["x_train"], colours)
    assert np.array_equal(kept["y_train"], NUMBERS[0][:2])


IMAGES, LABELS = ("train-images-idx3-ubyte", idx(DRAWINGS[0])), ("train-labels-idx1-ubyte", idx(NUMBERS[0]))
ODD_IDX = {
    "a test set without labels": ([IMAGES, LABELS, ("t10k-images-idx3-ubyte", idx(DRAWINGS[1]))], "missing_file"),
    "nothing to train on": ([("t10k-images-idx3-ubyte", IMAGES[1]), ("t10k-labels-idx1-ubyte", LABELS[1])], "missing_file"),
    "two of one role": ([IMAGES, LABELS, ("more/train-images-idx3-ubyte", IMAGES[1])], "unknown_file"),
    "a file of no role": ([IMAGES, LABELS, ("notes.txt", b"x")], "unknown_file"),
    "an idx of no role": ([IMAGES, LABELS, ("weights-idx3-ubyte", b"x")], "unknown_file"),
    "weights for labels": ([IMAGES, ("weights-idx1-ubyte", LABELS[1])], "unknown_file"),
    "a letter about labels": ([IMAGES, LABELS, ("labels.txt", b"x")], "unknown_file"),
    "half a gzip": ([(IMAGES[0] + ".gz", gzip.compress(IMAGES[1])[:-9]), LABELS], "broken_archive"),
    "no gzip": ([(IMAGES[0] + ".gz", IMAGES[1]), LABELS], "broken_archive"),
    "a turned bit in a gzip": ([(IMAGES[0] + ".gz", gzip.compress(IMAGES[1])[:10] + b"\xff" * 30), LABELS], "broken_archive"),
    "no magic": ([(IMAGES[0], b"\0\1" + IMAGES[1][2:]), LABELS], "broken_array"),
    "an unknown type": ([(IMAGES[0], b"\0\0\x0a" + IMAGES[1][3:]), LABELS], "broken_array"),
    "no dimension": ([(IMAGES[0], b"\0\0\x08\0" + b"x" * 8), LABELS], "broken_array"),
    "five dimensions": ([(IMAGES[0], bytes([0, 0, 8, 5]) + b"\0\0\0\1" * 5 + b"x"), LABELS], "broken_array"),
    "three bytes": ([(IMAGES[0], b"\0\0\x08"), LABELS], "broken_array"),
    "a byte too many": ([(IMAGES[0], IMAGES[1] + b"x"), LABELS], "lying_header"),
    "no row": ([(IMAGES[0], idx(DRAWINGS[0][:0])), LABELS], "empty"),
}  # fmt: skip


@pytest.mark.parametrize(("files", "code"), ODD_IDX.values(), ids=ODD_IDX.keys())
def test_idx_files_that_are_no_set_are_refused(files: list[tuple[str, bytes]], code: str) -> None:
    assert faults(zipped(*files))[0][0] == code


# --- Class folders ------------------------------------------------------------------------------------------------------------------

GREY = np.array([[0, 50, 100], [150, 200, 250]])  # height 2, width 3
RED = np.stack([GREY, GREY // 2, GREY // 4], 2)


SYSTEMS = [("sets/pets/cat/Thumbs.db", b"x"), ("sets/DESKTOP.INI", b"x"), ("sets/pets/.DS_Store", b"x"), ("__MACOSX/sets/._cat", b"x")]
"""What Windows and macOS add to folders."""


def test_folders_of_images_become_classes_in_the_order_of_their_names_with_every_pixel() -> None:
    files = [(f"sets/pets/{path}", drawn(GREY + at)) for at, path in enumerate(("dog/1.png", "cat/b.png", "cat/a.png", "Ant/1.PNG"))]
    kept, facts = taken(zipped(*files, *SYSTEMS, ("sets/pets/cat/", b"")))
    assert kept["x_train"].shape == (4, 1, 2, 3)
    assert [image[0, 0, 0] for image in kept["x_train"]] == [3, 2, 1, 0]
    assert all(np.array_equal(image[0], GREY + image[0, 0, 0]) for image in kept["x_train"])
    assert kept["y_train"].tolist() == [0, 1, 1, 2]
    assert [(one["name"], one["train_rows"]) for one in facts["classes"]] == [("Ant", 1), ("cat", 2), ("dog", 1)]


@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("Training", "TESTING")])
def test_images_to_test_on_lie_in_a_folder_of_their_own(train: str, test: str) -> None:
    files = [(f"{split}/{name}/1.png", drawn(GREY + at)) for at, (split, name) in enumerate(((train, "a"), (train, "b"), (test, "b")))]
    kept, facts = taken(zipped(*files))
    assert ([one["test_rows"] for one in facts["classes"]], facts["train_rows"], facts["test_rows"]) == ([0, 1], 2, 1)
    assert (kept["y_train"].tolist(), kept["y_test"].tolist(), int(kept["x_test"][0, 0, 0, 0])) == ([0, 1], [1], 2)


def test_a_folder_that_a_system_added_is_no_class() -> None:
    _, facts = taken(zipped(*((f"{name}/1.png", drawn(GREY)) for name in "ab"), ("__MACOSX/", b""), ("__MACOSX/a/", b"")))
    assert [one["name"] for one in facts["classes"]] == ["a", "b"]


@pytest.mark.parametrize("names", [("train", "validation"), ("train", "training"), ("test", "cat")])
def test_folders_are_splits_only_where_both_are_there_and_nothing_else_is(names: tuple[str, str]) -> None:
    _, facts = taken(zipped(*((f"{name}/1.png", drawn(GREY)) for name in names)))
    assert [one["name"] for one in facts["classes"]] == sorted(names)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (drawn(RED), RED),
        (drawn(RED, "RGBA"), RED),
        (drawn(RED, "P", colors=256), None),
        (drawn(GREY), np.stack([GREY] * 3, 2)),
        (drawn(RED, kind="JPEG", quality=95), None),
        (drawn(RED, "CMYK", kind="JPEG", quality=95), None),
    ],
    ids=["RGB", "opaque RGBA", "palette", "grey among colours", "JPEG", "JPEG for print"],
)
def test_colours_come_channel_by_channel(image: bytes, expected: np.ndarray | None) -> None:
    kept, _ = taken(zipped(("a/1.png", image), ("b/1.png", drawn(RED))))
    assert kept["x_train"].shape == (2, 3, 2, 3)
    shown = kept["x_train"][0].transpose(1, 2, 0)
    assert np.array_equal(shown, np.asarray(Image.open(io.BytesIO(image)).convert("RGB")))
    assert expected is None or np.array_equal(shown, expected)


def test_images_of_one_bit_are_black_and_white() -> None:
    kept, _ = taken(zipped(*((f"{name}/1.png", drawn(GREY // 200 * 255, "1")) for name in "ab")))
    assert (kept["x_train"].shape, np.unique(kept["x_train"]).tolist()) == ((2, 1, 2, 3), [0, 255])


SEE_THROUGH = np.dstack([RED, np.full((2, 3), 254)])
GOOD = ("a/1.png", drawn(GREY))
ODD_IMAGES: dict[str, tuple[list[tuple[str, bytes]], str]] = {
    "half transparent": ([GOOD, ("b/1.png", drawn(SEE_THROUGH))], "transparent"),
    "a colour that is transparent": ([GOOD, ("b/1.png", drawn(GREY, transparency=50))], "transparent"),
    "grey with alpha": ([GOOD, ("b/1.png", drawn(GREY, "LA"))], "unknown_pixels"),
    "16 bits": ([GOOD, ("b/1.png", drawn(GREY, "I;16"))], "unknown_pixels"),
    "turned": ([GOOD, ("b/1.png", drawn(GREY.T))], "another_size"),
    "a magic alone": ([GOOD, ("b/1.png", drawn(GREY)[:8])], "broken_image"),
    "a JPEG that is none": ([GOOD, ("b/1.png", b"\xff\xd8\xff" + b"x" * 40)], "broken_image"),
    "too deep": ([GOOD, ("b/c/1.png", drawn(GREY))], "misplaced"),
    "beside the folders": ([GOOD, ("b/1.png", drawn(GREY)), ("1.png", drawn(GREY))], "misplaced"),
    "one class": ([GOOD, ("a/2.png", drawn(GREY))], "single_class"),
    "a class to test on alone": ([(f"{name}.png", drawn(GREY)) for name in ("train/a/1", "train/b/1", "test/c/1")], "empty_class"),
    "an empty folder of a split": ([*((f"{name}/1.png", drawn(GREY)) for name in ("train/a", "train/b", "test/b")), ("train/c/", b"")], "empty_class"),
}  # fmt: skip


@pytest.mark.parametrize(("files", "code"), ODD_IMAGES.values(), ids=ODD_IMAGES.keys())
def test_images_that_are_no_set_are_refused(files: list[tuple[str, bytes]], code: str) -> None:
    assert faults(zipped(*files))[0][0] == code

"""The data shipped with Ridgeline is what its README says: real rows, all classes, unchanged bytes."""

import gzip
import hashlib
import re
import runpy
import struct
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "worker/training/data/fashion_mnist"
IMAGES = {"train-images-idx3-ubyte.gz": 10_000, "t10k-images-idx3-ubyte.gz": 2_000}
LABELS = {"train-labels-idx1-ubyte.gz": 10_000, "t10k-labels-idx1-ubyte.gz": 2_000}
SCRIPT = runpy.run_path(str(ROOT / "scripts/make-subset"))


def content(name: str) -> bytes:
    return gzip.decompress((FOLDER / name).read_bytes())


@pytest.mark.parametrize(("name", "rows"), IMAGES.items())
def test_the_images_are_28_by_28_and_as_many_as_promised(name: str, rows: int) -> None:
    assert struct.unpack_from(">IIII", content(name)) == (0x0803, rows, 28, 28)
    assert len(content(name)) == 16 + rows * 28 * 28


@pytest.mark.parametrize(("name", "rows"), LABELS.items())
def test_the_labels_cover_all_ten_classes_evenly_enough_to_learn_from(name: str, rows: int) -> None:
    labels = content(name)[8:]
    assert struct.unpack_from(">II", content(name)) == (0x0801, rows)
    assert len(labels) == rows
    counts = Counter(labels)
    assert sorted(counts) == list(range(10))
    assert min(counts.values()) > 0.8 * rows / 10


@pytest.mark.parametrize("name", [*IMAGES, *LABELS])
def test_the_sums_in_the_readme_are_those_of_the_files(name: str) -> None:
    row = re.search(rf"^\| `{name}` \|.*$", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert row is not None
    assert re.findall(r"`([0-9a-f]{64})`", row[0]) == [hashlib.sha256(b).hexdigest() for b in ((FOLDER / name).read_bytes(), content(name))]


@pytest.mark.parametrize("name", [*IMAGES, *LABELS])
def test_a_file_carries_neither_a_time_nor_a_name_that_would_change_its_sum(name: str) -> None:
    flags, time = struct.unpack_from("<BI", (FOLDER / name).read_bytes(), 3)
    assert (flags, time) == (0, 0)


def test_the_licence_of_the_data_lies_beside_it() -> None:
    licence = (FOLDER / "LICENSE").read_text()
    assert "2017 Zalando SE" in licence
    assert "Permission is hereby granted" in licence


def test_the_script_makes_the_same_content_again(tmp_path: Path) -> None:
    SCRIPT["main"](["--source", str(FOLDER), "--out", str(tmp_path)])
    for name in (*IMAGES, *LABELS):
        assert gzip.decompress((tmp_path / name).read_bytes()) == content(name)


def test_the_subset_is_the_first_rows_in_their_order() -> None:
    original = struct.pack(">HBBIII", 0, 8, 3, 3, 2, 2) + bytes(range(12))
    assert SCRIPT["first_rows"](original, 2) == struct.pack(">HBBIII", 0, 8, 3, 2, 2, 2) + bytes(range(8))


def test_a_source_with_too_few_rows_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="has 3 rows and the subset needs 4"):
        SCRIPT["first_rows"](struct.pack(">HBBI", 0, 8, 1, 3) + bytes(3), 4)


def test_a_file_that_is_not_idx_is_refused_by_what_it_starts_with() -> None:
    with pytest.raises(ValueError, match="starts with 89504e47"):
        SCRIPT["first_rows"](b"\x89PNG\r\n\x1a\n", 1)

"""What a numpy archive is kept as: its values, in one form, whatever types and orders they came in."""

import zipfile
from typing import Any

import numpy as np
import pytest

from service.intake import meaning
from tests.service.checked import Json, faults, taken
from tests.service.test_hostile_uploads import npy, zipped
from tests.uploading import npz

X, Y = np.arange(24, dtype=np.float32).reshape(4, 6), np.array([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("x", "shape", "stored"),
    [
        (X.astype(np.uint8), [1, 1, 6], "|u1"), (X.astype(np.float16), [1, 1, 6], "<f4"), (X.astype(">f4"), [1, 1, 6], "<f4"),
        (X.astype(">f8"), [1, 1, 6], "<f8"), (np.asfortranarray(X).reshape(4, 2, 3, order="F"), [1, 2, 3], "<f4"),
        (X.reshape(4, 3, 1, 2), [3, 1, 2], "<f4"), (np.zeros((4, 7, 8, 3), np.uint8), [7, 8, 3], "|u1"),
    ],
    ids=str,
)  # fmt: skip
def test_rows_of_every_type_keep_their_values(x: np.ndarray, shape: list[int], stored: str) -> None:
    kept, facts = taken(npz(x=x, y=Y))
    assert (facts["shape"], kept["x_train"].dtype.str, kept["x_train"].flags["C_CONTIGUOUS"]) == (shape, stored, True)
    assert facts["dtype"] == np.dtype(stored).name
    assert np.array_equal(kept["x_train"].reshape(x.shape), x)


@pytest.mark.parametrize(
    ("y", "targets", "expected"),
    [
        (Y.astype(bool), "classes", Y), (Y.astype(">i8")[:, None], "classes", Y), (Y.astype(np.uint64), "classes", Y),
        (np.array([0, 1, -1, 1]), "classes", [0, 1, -1, 1]), (X[:, 0], "real", X[:, :1]), (X[:, :2].astype(">f8"), "real", X[:, :2]),
    ],
    ids=str,
)  # fmt: skip
def test_targets_are_classes_where_they_are_whole_and_real_where_they_are_not(y: np.ndarray, targets: str, expected: Any) -> None:
    kept, facts = taken(npz(x=X, y=y))
    assert (facts["targets"], facts["unlabelled_rows"]) == (targets, int((np.asarray(expected) == -1).sum()))
    assert facts["outputs"] == 2 if targets == "classes" else facts["outputs"] == np.shape(expected)[1]
    assert np.array_equal(kept["y_train"], expected)


def test_what_is_tested_on_is_told_apart_from_what_is_trained_on() -> None:
    kept, facts = taken(npz(x_train=X, y_train=Y, x_test=X[:3] + 1, y_test=np.array([1, 1, -1])))
    assert [(one["train_rows"], one["test_rows"]) for one in facts["classes"]] == [(2, 0), (2, 2)]
    assert (facts["test_rows"], facts["unlabelled_rows"], kept["y_test"].tolist()) == (3, 0, [1, 1, -1])
    assert np.array_equal(kept["x_test"][:, 0, 0], X[:3] + 1)


def header(version: int, text: str, data: bytes = b"") -> bytes:
    length = len(text).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + text.encode() + data


def test_the_longer_header_of_numpy_is_read_and_one_without_bound_is_not() -> None:
    text = "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 6), }"
    kept, _ = taken(zipped(("x.npy", header(2, text + "\n", X.tobytes())), ("y.npy", npy(Y))))
    assert np.array_equal(kept["x_train"][:, 0, 0], X)
    assert faults(zipped(("x.npy", header(2, text + " " * 5000, X.tobytes())), ("y.npy", npy(Y)))) == [("broken_array", ["x"])]


NO_HEADERS = {
    "nothing": "", "half a text": "{'descr': '<f4", "keys of two kinds": "{1: 2, 'descr': 3}", "a deep nest": "[" * 900, "a deep term": "-" * 3000 + "1",
    "a call": "open('/etc/passwd')", "a set": "{'descr', 'fortran_order', 'shape'}", "a type that is none": "{'descr': '<q9', 'fortran_order': False, 'shape': (4, 6)}",
    "a type in pieces": "{'descr': [('a',)], 'fortran_order': False, 'shape': (4, 6)}", "a NUL": "\0", "a shape that is none": "{'descr': '<f4', 'fortran_order': False, 'shape': 4}",
}  # fmt: skip


@pytest.mark.parametrize("text", NO_HEADERS.values(), ids=NO_HEADERS.keys())
@pytest.mark.parametrize("version", [1, 2, 9])
def test_a_header_that_is_none_is_a_fault_of_the_array_whatever_is_wrong_with_it(text: str, version: int) -> None:
    assert faults(zipped(("x.npy", header(version, text + "\n", X.tobytes())), ("y.npy", npy(Y)))) == [("broken_array", ["x"])]


@pytest.mark.parametrize("cut", [0, 5, 7, 9, 20])
def test_a_header_that_is_cut_off_is_one_too(cut: int) -> None:
    assert faults(zipped(("x.npy", npy(X)[:cut]), ("y.npy", npy(Y)))) == [("broken_array", ["x"])]


def test_a_header_of_a_vast_number_promises_more_than_there_is() -> None:
    text = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 4000 + ",)}"
    assert faults(zipped(("x.npy", header(1, text + "\n", X.tobytes())), ("y.npy", npy(Y)))) == [("lying_header", ["x"])]


def test_a_type_of_several_values_is_no_number() -> None:
    text = "{'descr': ('<f4', (2,)), 'fortran_order': False, 'shape': (4, 3), }"
    assert faults(zipped(("x.npy", header(1, text + "\n", X.tobytes())), ("y.npy", npy(Y)))) == [("pickled", ["x"])]


PAIR = {"x": X, "y": Y}
ODD_ARRAYS: dict[str, tuple[Json, str, list[str | int]]] = {
    "one dimension": ({"x": X[:, 0]}, "shape", ["x"]),
    "five dimensions": ({"x": X.reshape(4, 1, 1, 2, 3)}, "shape", ["x"]),
    "complex rows": ({"x": X.astype(complex)}, "unknown_type", ["x"]),
    "named fields": ({"x": np.zeros(4, [("a", "<f4")])}, "pickled", ["x"]),
    "no rows": ({"x": X[:0]}, "empty", ["x"]),
    "targets as text": ({"y": np.array(list("abab"))}, "unknown_type", ["y"]),
    "one hot": ({"y": np.eye(4, dtype=int)}, "shape", ["y"]),
    "half a class": ({"y": X.reshape(4, 2, 3)}, "shape", ["y"]),
    "a class below": ({"y": np.array([0, 1, -2, 1])}, "unknown_class", ["y", 2]),
    "a class above": ({"y": np.array([0, 1, 1000, 1])}, "unknown_class", ["y", 2]),
    "an infinite target": ({"y": np.array([0.0, 1.0, np.inf, 1.0])}, "not_finite", ["y", 2]),
    "a third array": ({"z": X}, "unknown_arrays", []),
    "an odd test row": ({"x_train": X, "y_train": Y, "x_test": X * np.nan, "y_test": Y}, "not_finite", ["x_test", 0]),
    "test targets of another kind": ({"x_train": X, "y_train": Y, "x_test": X, "y_test": X[:, 0]}, "split_mismatch", ["y_test"]),
    "test rows of another type": ({"x_train": X, "y_train": Y, "x_test": X.astype(float), "y_test": Y}, "split_mismatch", ["x_test"]),
    "test rows without targets": ({"x_train": X, "y_train": Y, "x_test": X, "y_test": Y[:3]}, "row_mismatch", ["y_test"]),
}  # fmt: skip


@pytest.mark.parametrize(("arrays", "code", "path"), ODD_ARRAYS.values(), ids=ODD_ARRAYS.keys())
def test_arrays_that_are_no_set_are_refused_where_they_are_wrong(arrays: Json, code: str, path: list[str | int]) -> None:
    assert faults(npz(**(arrays if "x_train" in arrays else PAIR | arrays)))[0] == (code, path)


@pytest.mark.parametrize(
    ("limit", "arrays", "path"),
    [
        ("MAX_ROWS", {"x": X, "y": Y}, [["x"], ["y"]]), ("MAX_FEATURES", {"x": X, "y": Y}, [["x"]]), ("MAX_SIDE", {"x": X[:, None], "y": Y}, [["x"]]),
        ("MAX_CLASSES", {"x": X, "y": X}, [["y"]]),
    ],
    ids=str,
)  # fmt: skip
def test_no_side_of_an_array_is_longer_than_it_may_be(limit: str, arrays: Json, path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meaning, limit, 4 if limit == "MAX_ROWS" else 6)
    assert taken(npz(**arrays))
    monkeypatch.setattr(meaning, limit, 3 if limit == "MAX_ROWS" else 5)
    assert [fault[1] for fault in faults(npz(**arrays))] == path


def test_a_set_is_looked_at_piece_by_piece_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meaning, "CHUNK_BYTES", 50)  # two rows
    kept, _ = taken(npz(**PAIR))
    assert np.array_equal(kept["x_train"][:, 0, 0], X)
    assert faults(npz(x=np.where(X == 23, np.nan, X), y=Y)) == [("not_finite", ["x", 3])]


def test_the_compression_that_was_chosen_changes_nothing() -> None:
    files = [("x.npy", npy(X)), ("y.npy", npy(Y))]
    one, other = (taken(zipped(*files, compression=kind))[0] for kind in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    assert all(np.array_equal(one[name], other[name]) for name in ("x_train", "y_train"))

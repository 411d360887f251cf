"""Whether arrays are a data set: rows and targets that belong together, of types and values that can be trained on."""

from typing import Any, Final

import numpy as np

from service.intake.parts import Parts
from service.intake.refusal import MOST, Faults, Refused

MAX_ROWS: Final = 20_000_000
MAX_CLASSES: Final = 1000
MAX_SIDE: Final = 65_536
MAX_FEATURES: Final = 1_000_000
CHUNK_BYTES: Final = 8 * 1024**2
_PIXELS: Final = {np.dtype("u1"): "|u1", np.dtype("f2"): "<f4", np.dtype("f4"): "<f4", np.dtype("f8"): "<f8"}
"""How values are kept: half precision is widened, which changes no value."""


def check(parts: Parts) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays as they are to be kept (`x` [n, channels, height, width], `y` [n] of classes or [n, outputs] of real values), and
    what there is to say of them. Raises Refused with everything that is wrong."""
    faults = Faults()
    kept = dict(parts.arrays)
    splits = [split for split in ("train", "test") if f"x_{split}" in kept]
    for split in splits:
        _assert_shape(kept[f"x_{split}"], parts.names[f"x_{split}"], faults)
        kept[f"y_{split}"] = _targets(kept[f"y_{split}"], parts.names[f"y_{split}"], faults)
        _assert_as_many(kept, split, parts.names, faults)
    faults.raise_any()
    if "test" in splits:
        _assert_alike(kept, parts.names, faults)
        faults.raise_any()
    for split in splits:
        _assert_finite(kept[f"x_{split}"], parts.names[f"x_{split}"], faults)
        _assert_finite(kept[f"y_{split}"], parts.names[f"y_{split}"], faults)
    faults.raise_any()
    told = _classes(kept, splits, parts, faults) if kept["y_train"].dtype.kind == "i" else _real(kept)
    faults.raise_any()
    for split in splits:
        kept[f"x_{split}"] = _as_images(kept[f"x_{split}"])
    x = kept["x_train"]
    rows = {f"{split}_rows": len(kept[f"x_{split}"]) for split in splits}
    return kept, {"test_rows": 0, **rows, "shape": list(x.shape[1:]), "dtype": str(np.dtype(_PIXELS[x.dtype.newbyteorder("=")])), **told}


def stored(array: np.ndarray) -> str:
    """The type that the values of an array are kept in."""
    return "<i2" if array.dtype.kind == "i" else _PIXELS[array.dtype.newbyteorder("=")]


def chunk_rows(array: np.ndarray) -> int:
    """How many rows are looked at at once."""
    return max(1, int(CHUNK_BYTES * len(array) // max(array.nbytes, 1)))


def _assert_shape(x: np.ndarray, name: str, faults: Faults) -> None:
    if x.dtype.newbyteorder("=") not in _PIXELS:
        remedy = "save it as uint8 where it holds pixels from 0 to 255, else as float32"
        faults.add("unknown_type", f"'{name}' holds values of type {x.dtype.name}; {remedy}", name)
    if x.ndim not in {2, 3, 4}:
        faults.add("shape", f"'{name}' has the shape {list(x.shape)}; it has to be [n, features], [n, h, w] or [n, c, h, w]", name)
        return
    if len(x) > MAX_ROWS:
        faults.add("too_many_rows", f"'{name}' has {len(x):,} rows; {MAX_ROWS:,} at most", name)
    if x.ndim == 4 and x.shape[3] in {1, 3, 4} and min(x.shape[1:3]) >= 8:
        remedy = "its last dimension looks like the channels; bring it to [n, c, h, w] with x.transpose(0, 3, 1, 2)"
        faults.add("channels_last", f"'{name}' has the shape {list(x.shape)}; {remedy}", name)
    if max(x.shape[1:]) > (MAX_FEATURES if x.ndim == 2 else MAX_SIDE):
        faults.add("shape", f"'{name}' has rows of shape {list(x.shape[1:])}; {MAX_SIDE:,} a side, {MAX_FEATURES:,} features at most", name)


def _targets(y: np.ndarray, name: str, faults: Faults) -> np.ndarray:
    """Classes [n] as int64, or real values [n, outputs] as they are."""
    match y.dtype.kind:
        case "i" | "u" | "b" if y.ndim == 1 or (y.ndim == 2 and y.shape[1] == 1):
            if len(y) > MAX_ROWS:
                faults.add("too_many_rows", f"'{name}' has {len(y):,} rows; {MAX_ROWS:,} at most", name)
                return np.zeros(0, np.int64)
            whole = np.asarray(y).reshape(-1)
            # A number beyond int64 must not come round to a small one.
            return np.where(whole > MAX_CLASSES, np.int64(MAX_CLASSES), whole).astype(np.int64)
        case "f" if y.dtype.newbyteorder("=") in _PIXELS and y.ndim in {1, 2}:
            if y.ndim == 2 and y.shape[1] > MAX_CLASSES:
                faults.add("shape", f"'{name}' has {y.shape[1]:,} values a row; {MAX_CLASSES:,} at most", name)
            return y.reshape(len(y), -1)
        case "i" | "u" | "b" | "f":
            remedy = "classes have to be whole numbers [n], real targets float32 or float64 [n] or [n, outputs]"
            faults.add("shape", f"'{name}' is {y.dtype.name} of shape {list(y.shape)}; {remedy}", name)
        case _:
            faults.add("unknown_type", f"'{name}' holds values of type {y.dtype.name}; it has to hold class numbers or real targets", name)
    return np.zeros(0, np.int64)


def _assert_as_many(kept: dict[str, np.ndarray], split: str, names: dict[str, str], faults: Faults) -> None:
    x, y = kept[f"x_{split}"], kept[f"y_{split}"]
    if not faults.count and len(x) != len(y):
        y_name = names[f"y_{split}"]
        faults.add(
            "row_mismatch", f"'{y_name}' has {len(y):,} rows and '{names[f'x_{split}']}' {len(x):,}; each row needs its target", y_name
        )


def _assert_alike(kept: dict[str, np.ndarray], names: dict[str, str], faults: Faults) -> None:
    for value in ("x", "y"):
        train, test, name = kept[f"{value}_train"], kept[f"{value}_test"], names[f"{value}_test"]
        one, other = (f"{array.dtype.name} rows of {list(array.shape[1:])}" for array in (train, test))
        if one != other:
            faults.add("split_mismatch", f"'{name}' has {other} and '{names[f'{value}_train']}' {one}; bring both to the same", name)


def _assert_finite(array: np.ndarray, name: str, faults: Faults) -> None:
    if array.dtype.kind != "f":
        return
    step = chunk_rows(array)
    for start in range(0, len(array), step):
        chunk = np.asarray(array[start : start + step])
        bad = ~np.isfinite(chunk.reshape(len(chunk), -1)).all(1)
        for row in np.flatnonzero(bad):
            faults.add(
                "not_finite",
                f"row {start + int(row)} of '{name}' holds a value that is not finite; leave it out or mend it",
                name,
                start + int(row),
            )
        if faults.count > MOST:
            return  # that there are more of them is enough to know


def _classes(kept: dict[str, np.ndarray], splits: list[str], parts: Parts, faults: Faults) -> dict[str, Any]:
    """How many rows each class has. Classes are numbered without gaps: one that no row has could never be learnt."""
    for split in splits:
        y, name = kept[f"y_{split}"], parts.names[f"y_{split}"]
        for row in np.flatnonzero((y < -1) | (y >= MAX_CLASSES))[: MOST + 1]:
            message = f"row {int(row)} of '{name}' has a class that is not from 0 to {MAX_CLASSES - 1}, nor -1 for a missing one"
            faults.add("unknown_class", message, name, int(row))
    faults.raise_any()
    name, train = parts.names["y_train"], kept["y_train"]
    outputs = max(len(parts.classes or ()), *(int(kept[f"y_{split}"].max()) + 1 for split in splits))
    counts = {split: np.bincount(kept[f"y_{split}"][kept[f"y_{split}"] >= 0], minlength=max(outputs, 1)) for split in splits}
    if int((counts["train"] > 0).sum()) < 2:
        raise Refused("single_class", f"'{name}' has rows of fewer than two classes, between which nothing can be learnt", name)
    for number in np.flatnonzero(counts["train"] == 0):
        known = f" ('{parts.classes[number]}')" if parts.classes else ""
        faults.add("empty_class", f"no training row has class {int(number)}{known}; number the classes from 0 without gaps", name)
    test = counts.get("test", np.zeros(outputs, np.int64))
    names: list[str | None] = [*parts.classes] if parts.classes else [None] * outputs
    rows = zip(names, counts["train"].tolist(), test.tolist(), strict=True)
    return {
        "targets": "classes",
        "outputs": outputs,
        "unlabelled_rows": int((train < 0).sum()),
        "classes": [
            {"index": index, "name": name, "train_rows": rows, "test_rows": tests} for index, (name, rows, tests) in enumerate(rows)
        ],
    }


def _real(kept: dict[str, np.ndarray]) -> dict[str, Any]:
    return {"targets": "real", "outputs": kept["y_train"].shape[1], "unlabelled_rows": 0, "classes": None}


def _as_images(x: np.ndarray) -> np.ndarray:
    """[n, features] is an image of one line, [n, h, w] one of one channel."""
    return x.reshape(len(x), *((1,) * (4 - x.ndim)), *x.shape[1:])

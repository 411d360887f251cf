"""What class folders of PNG and JPEG images hold: one class a folder, all images of one size."""

import io
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from PIL import Image, UnidentifiedImageError

from service.intake.archive import Archive
from service.intake.parts import Parts
from service.intake.refusal import Faults, Refused, shown

MOST_PIXELS: Final = 4096 * 4096
MOST_BYTES: Final = 64 * 1024**2
_MAGIC: Final = {b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG"}
_GREY: Final = frozenset({"1", "L"})
_COLOUR: Final = frozenset({"P", "RGB", "RGBA", "CMYK", "YCbCr"})
_SPLITS: Final = {"train": "train", "training": "train", "test": "test", "testing": "test"}


def read(archive: Archive, folder: Path) -> Parts:
    """`class/image.png`, or `train/class/image.png` and `test/class/image.png`; the classes in the order of their names.

    Raises Refused, naming the first files that do not fit.
    """
    splits, classes = _laid_out(archive)
    faults = Faults()
    size, is_grey = _looked_at(archive, [name for split in splits.values() for name, _ in split], faults)
    faults.raise_any()
    found: dict[str, np.ndarray] = {}
    for split, rows in splits.items():
        found[f"x_{split}"] = _decoded(archive, [name for name, _ in rows], folder / f"{split}.found", size, faults, is_grey=is_grey)
        found[f"y_{split}"] = np.array([label for _, label in rows], np.int16)
    faults.raise_any()
    return Parts("images", {name: name for name in found}, found, classes)


def _laid_out(archive: Archive) -> tuple[dict[str, list[tuple[str, int]]], list[str]]:
    """The files of each split with the number of their class, and the names of the classes."""
    paths = {name: PurePosixPath(name).parts for name in sorted(archive.files)}
    if not paths:
        raise Refused("empty", "the archive holds no file")
    shift = 0
    while len({parts[shift] for parts in paths.values()}) == 1 and min(map(len, paths.values())) > shift + 2:
        shift += 1
    splits = {parts[shift].casefold() for parts in paths.values()}
    is_split = splits <= _SPLITS.keys() and {_SPLITS[split] for split in splits} == {"train", "test"}
    depth = shift + (3 if is_split else 2)
    faults = Faults()
    for name, parts in paths.items():
        if len(parts) != depth:
            faults.add("misplaced", f"'{shown(name)}' is not in a folder of its class, as cat/1.png is", "files", shown(name))
    faults.raise_any()
    used = {parts[:-1] for parts in paths.values()}
    for path in sorted(archive.folders):
        parts = PurePosixPath(path).parts
        if len(parts) == depth - 1 and parts not in used:
            faults.add("empty_class", f"the folder '{shown(path)}' holds no image; fill it or leave it out", "files", shown(path))
    faults.raise_any()
    classes = sorted({parts[-2] for parts in paths.values()})
    found: dict[str, list[tuple[str, int]]] = {"train": [], "test": []} if is_split else {"train": []}
    for name, parts in paths.items():
        found[_SPLITS[parts[shift].casefold()] if is_split else "train"].append((name, classes.index(parts[-2])))
    return found, classes


def _looked_at(archive: Archive, names: list[str], faults: Faults) -> tuple[tuple[int, int], bool]:
    """Width and height of the images, and whether all are grey, by their headers alone: nothing is decoded yet."""
    first: tuple[int, int] | None = None
    is_grey = True
    for name, image in _opened(archive, names, faults):
        if image.width * image.height > MOST_PIXELS:
            faults.add(
                "too_many_pixels",
                f"'{shown(name)}' claims {image.width} x {image.height} pixels; {MOST_PIXELS:,} at most",
                "files",
                shown(name),
            )
        elif first is not None and image.size != first:
            message = f"'{shown(name)}' has {image.width} x {image.height} pixels and the first image {first[0]} x {first[1]}; bring all to one size"
            faults.add("another_size", message, "files", shown(name))
        elif image.mode not in _GREY | _COLOUR:
            faults.add(
                "unknown_pixels", f"'{shown(name)}' has pixels of kind {image.mode}; save it as 8-bit grey or RGB", "files", shown(name)
            )
        first = first or image.size
        is_grey &= image.mode in _GREY
    if first and not faults.count:
        archive.budget.assert_allows(len(names) * first[0] * first[1] * (1 if is_grey else 3))
    return first or (0, 0), is_grey


def _decoded(archive: Archive, names: list[str], path: Path, size: tuple[int, int], faults: Faults, *, is_grey: bool) -> np.ndarray:
    """The pixels [n, channels, height, width] in a file."""
    width, height = size
    with path.open("xb") as file:
        for name, image in _opened(archive, names, faults):
            try:
                if "A" in image.getbands() or "transparency" in image.info:
                    image = image.convert("RGBA")
                    if image.getchannel("A").getextrema() != (255, 255):
                        faults.add("transparent", f"'{shown(name)}' has transparent pixels; lay it on a background", "files", shown(name))
                pixels = np.asarray(image.convert("L" if is_grey else "RGB"), np.uint8)
            except (OSError, ValueError, SyntaxError):
                faults.add("broken_image", f"'{shown(name)}' cannot be decoded; save it anew", "files", shown(name))
                continue
            file.write((pixels[None] if is_grey else pixels.transpose(2, 0, 1)).tobytes())
    faults.raise_any()
    return np.memmap(path, np.uint8, "r", 0, (len(names), 1 if is_grey else 3, height, width))


def _opened(archive: Archive, names: list[str], faults: Faults) -> Iterator[tuple[str, Image.Image]]:
    """Each image with its header read. What is no PNG or JPEG, whatever its name, is a fault."""
    Image.MAX_IMAGE_PIXELS = None  # the pixels are counted by us, before any is decoded
    for name in names:
        content = archive.content(name, MOST_BYTES)
        kind = next((kind for magic, kind in _MAGIC.items() if content.startswith(magic)), None)
        if kind is None:
            faults.add("not_an_image", f"'{shown(name)}' is no PNG or JPEG image", "files", shown(name))
            continue
        try:
            yield name, Image.open(io.BytesIO(content), formats=[kind])
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
            faults.add("broken_image", f"'{shown(name)}' cannot be read; save it anew", "files", shown(name))

"""Which IDX files of an archive are images and which labels, to train and to test on."""

import gzip
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, cast

from service.intake import arrays
from service.intake.archive import Archive
from service.intake.parts import Parts
from service.intake.refusal import Refused, shown


def read(archive: Archive, folder: Path) -> Parts:
    """Raises Refused unless there is a pair to train on, and to test on a pair or nothing."""
    names: dict[str, str] = {}
    for name in archive.files:
        role = _role(name)
        if role is None or role in names:
            why = f"is the second file of {role}" if role else "is neither images nor labels by its name"
            raise Refused("unknown_file", f"'{shown(name)}' {why}; name them as train-images-idx3-ubyte", "files", shown(name))
        names[role] = name
    if names.keys() not in ({"x_train", "y_train"}, {"x_train", "y_train", "x_test", "y_test"}):
        raise Refused("missing_file", f"images need labels beside them; found {', '.join(shown(name) for name in names.values())}")
    shorn = {role: shown(PurePosixPath(name).name) for role, name in names.items()}
    unpacked = {role: _unpacked(archive, name, folder / f"{role}.found") for role, name in names.items()}
    return Parts("idx", shorn, {role: arrays.idx(path, shorn[role]) for role, path in unpacked.items()})


def is_one(name: str) -> bool:
    """Whether a file is one of IDX by its name."""
    plain = name.casefold().removesuffix(".gz")
    return plain.endswith("ubyte") or "-idx" in plain or ".idx" in plain


def _role(name: str) -> str | None:
    plain = PurePosixPath(name).name.casefold()
    value = "x" if "images" in plain else "y" if "labels" in plain else None
    part = "test" if "t10k" in plain or "test" in plain else "train"
    return f"{value}_{part}" if value and is_one(plain) else None


def _unpacked(archive: Archive, name: str, target: Path) -> Path:
    archive.unpack(name, target)
    if not name.casefold().endswith(".gz"):
        return target
    plain = target.with_suffix(".plain")
    try:
        with gzip.open(target) as packed, plain.open("xb") as file:
            for piece in archive.counted(cast("IO[bytes]", packed)):
                file.write(piece)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise Refused("broken_archive", f"'{shown(name)}' is no whole gzip file; send it whole", "files", shown(name)) from error
    target.unlink()
    return plain

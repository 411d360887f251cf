"""What a numpy archive holds: x and y, or x_train, y_train, x_test and y_test."""

from pathlib import Path
from typing import Final

from service.intake import arrays
from service.intake.archive import Archive
from service.intake.parts import Parts
from service.intake.refusal import Refused, shown

_WHOLE: Final = {"x": "x_train", "y": "y_train"}
_SPLIT: Final = {name: name for name in ("x_train", "y_train", "x_test", "y_test")}
_NEEDED: Final = "x and y, or x_train, y_train, x_test and y_test"


def read(archive: Archive, folder: Path) -> Parts:
    """Raises Refused for other names, and for what is no array of numbers."""
    files = {name.removesuffix(".npy").casefold(): name for name in archive.files}
    wanted = next((names for names in (_WHOLE, _SPLIT) if files.keys() == names.keys()), None)
    if wanted is None or len(files) < len(archive.files):
        found = ", ".join(shown(name) for name in sorted(files)[:8]) or "nothing"
        raise Refused("unknown_arrays", f"the archive has to hold {_NEEDED}; it holds {found}")
    names = {role: files[name] for name, role in wanted.items()}
    unpacked = {role: archive.unpack(name, folder / f"{role}.found") for role, name in names.items()}
    shorn = {role: name.removesuffix(".npy") for role, name in names.items()}
    return Parts("npz", shorn, {role: arrays.npy(path, shorn[role]) for role, path in unpacked.items()})

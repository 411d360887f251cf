"""What kind of data set a file is, told from its content and never from its name."""

from pathlib import Path
from typing import Final

from service.intake import idx, images, npz
from service.intake.archive import Archive
from service.intake.parts import Parts
from service.intake.refusal import Refused

_TAKEN: Final = "send a .npz of x and y, a zip of IDX files, or a zip of class folders of images"
_REMEDIES: Final = {
    b"\x93NUMPY": "it is a single array; save x and y together with numpy.savez_compressed",
    b"\x1f\x8b": f"it is a gzip file; {_TAKEN}",
    b"\0\0\x08": "it is a single IDX file; zip the images and their labels together",
    b"\x80": f"it looks like a pickle, which is never read; {_TAKEN}",
    b"\x89PNG": "it is a single image; zip a folder for each class",
}


def read(upload: Path, folder: Path, most_bytes: int) -> Parts:
    """The arrays of an upload, unpacked into `folder`. Raises Refused."""
    with upload.open("rb") as file:
        head = file.read(8)
    if not head:
        raise Refused("empty", f"the body is empty; {_TAKEN}")
    if not head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        remedy = next((told for magic, told in _REMEDIES.items() if head.startswith(magic)), f"it is no zip archive; {_TAKEN}")
        raise Refused("unknown_format", remedy)
    archive = Archive(upload, most_bytes)
    if not archive.files and not archive.folders:
        raise Refused("empty", f"the archive holds nothing; {_TAKEN}")
    if any(name.casefold().endswith(".npy") for name in archive.files):
        return npz.read(archive, folder)
    return idx.read(archive, folder) if any(map(idx.is_one, archive.files)) else images.read(archive, folder)

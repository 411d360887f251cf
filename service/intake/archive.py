"""What of a zip archive is read: regular files under plain names, each once, within the bytes and the ratio that are allowed."""

import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Final

from service.intake.refusal import Faults, Refused, shown

MAX_ENTRIES: Final = 200_000
MAX_RATIO: Final = 200
FREE_BYTES: Final = 64 * 1024**2
"""What may be unpacked whatever the ratio: a small set may compress as well as it likes."""
PIECE: Final = 1 << 20
_TAIL: Final = 65_557
"""The end record and the longest comment behind it."""
_PASSED_OVER: Final = frozenset({".ds_store", "thumbs.db", "desktop.ini"})
_NESTED: Final = (".zip", ".tar", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")


class Budget:
    """Bytes that may still be unpacked."""

    def __init__(self, most: int, archive_bytes: int) -> None:
        self._most = most
        self._by_ratio = max(FREE_BYTES, MAX_RATIO * archive_bytes)
        self._spent = 0

    def spend(self, count: int) -> None:
        """Raises Refused once more is unpacked than is allowed."""
        self._spent += count
        self.assert_allows(self._spent)

    def assert_allows(self, total: int) -> None:
        """Raises Refused where `total` bytes unpacked are more than the upload may hold, or many times more than it weighs."""
        if total > self._by_ratio:
            raise Refused("ratio", f"it unpacks to more than {MAX_RATIO} times its size, as no data set does; send it less compressed")
        if total > self._most:
            raise Refused("too_large", f"it unpacks to more than the {self._most:,} bytes allowed; send fewer rows")


class Archive:
    """A zip file whose entries have been looked at before any is unpacked."""

    def __init__(self, path: Path, most_bytes: int) -> None:
        """Raises Refused for an archive that is broken or holds what it must not."""
        _assert_few(path)
        self.budget = Budget(most_bytes, path.stat().st_size)
        with _told():
            self._zip = zipfile.ZipFile(path)
        faults = Faults()
        infos = self._zip.infolist()
        if len(infos) > MAX_ENTRIES:
            raise _too_many(len(infos))
        _judge(infos, self._zip.start_dir, faults)
        faults.raise_any()
        self.files = {info.filename: info for info in infos if not info.is_dir() and not _is_passed_over(info.filename)}
        self.folders = [info.filename for info in infos if info.is_dir() and not _is_passed_over(info.filename)]
        self.budget.assert_allows(sum(info.file_size for info in self.files.values()))

    def pieces(self, name: str) -> Iterator[bytes]:
        """The content of an entry. Raises Refused where it is not what the archive says, or too much."""
        with _told(name), self._zip.open(self.files[name]) as entry:
            yield from self.counted(entry)

    def counted(self, stream: IO[bytes]) -> Iterator[bytes]:
        """What a stream unpacks to, within the budget."""
        while piece := stream.read(PIECE):
            self.budget.spend(len(piece))
            yield piece

    def unpack(self, name: str, target: Path) -> Path:
        """Write an entry to `target`, which the archive has no say in."""
        with target.open("xb") as file:
            for piece in self.pieces(name):
                file.write(piece)
        return target

    def content(self, name: str, most: int) -> bytes:
        """A whole entry. Raises Refused for one of more than `most` bytes."""
        if self.files[name].file_size > most:
            raise Refused("too_large", f"a single image has more than {most:,} bytes", "files", shown(name))
        return b"".join(self.pieces(name))


def _assert_few(path: Path) -> None:
    """Before the directory of the archive is read: a million entries are gigabytes of objects."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL))
        tail = file.read()
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or len(tail) < at + 22:
            raise Refused("broken_archive", "the archive has no end: it is cut off; send it whole")
        entries, directory = int.from_bytes(tail[at + 10 : at + 12], "little"), int.from_bytes(tail[at + 12 : at + 16], "little")
        if b"PK\x06\x07" in tail[:at] and (entries == 0xFFFF or directory == 0xFFFFFFFF):
            big = tail.rfind(b"PK\x06\x06", 0, at)
            entries, directory = (int.from_bytes(tail[big + one : big + one + 8], "little") for one in (32, 40))
    if entries > MAX_ENTRIES or directory > MAX_ENTRIES * 400:
        raise _too_many(entries)


def _too_many(count: int) -> Refused:
    return Refused("too_many_entries", f"the archive names {count:,} entries; {MAX_ENTRIES:,} at most: send arrays as .npz")


def _judge(infos: list[zipfile.ZipInfo], directory_at: int, faults: Faults) -> None:
    seen: set[str] = set()
    for info in infos:
        name = info.orig_filename
        if why := _why_not(info):
            faults.add("unsafe_entry", f"'{shown(name)}' {why}", "files", shown(name))
        elif (key := name.rstrip("/").casefold()) in seen:
            faults.add("duplicate_entry", f"'{shown(name)}' is there twice; keep one", "files", shown(name))
        else:
            seen.add(key)
    placed = sorted(infos, key=lambda info: info.header_offset)
    starts = [info.header_offset for info in placed] + [directory_at]
    for info, following in zip(placed, starts[1:], strict=True):
        if info.header_offset + 30 + len(info.orig_filename) + info.compress_size > following:
            faults.add("overlapping_entries", f"'{shown(info.orig_filename)}' overlaps what follows it", "files", shown(info.orig_filename))


def _why_not(info: zipfile.ZipInfo) -> str | None:
    """What is wrong with an entry; None for one that can be read."""
    name, kind = info.orig_filename, stat.S_IFMT(info.external_attr >> 16)
    parts = PurePosixPath(name).parts
    if not name.isprintable():
        return "has control characters in its name; rename it"
    if len(name) > 255:
        return f"has a name of {len(name):,} characters; 255 at most"
    if name.startswith("/") or "\\" in name or ":" in name.split("/")[0] or ".." in parts:
        return "leads out of the archive; pack it with relative paths"
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        return "is a link or a device; pack regular files"
    if info.flag_bits & 0x1:
        return "is encrypted; send it unencrypted"
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        return "is compressed in another way than stored or deflated; pack it as most programs do"
    if name.casefold().endswith(_NESTED):
        return "is an archive within the archive; unpack it first"
    return None


def _is_passed_over(name: str) -> bool:
    """What some systems add to every folder."""
    parts = name.casefold().rstrip("/").split("/")
    return parts[0] == "__macosx" or parts[-1] in _PASSED_OVER


@contextmanager
def _told(name: str = "") -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # our disk, not their archive
        where = ("files", shown(name)) if name else ()
        raise Refused("broken_archive", "the archive is broken: what it holds is not what it says; send it whole", *where) from error

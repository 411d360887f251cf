"""What of a zip archive is opened: plain files under plain names, as many and as large as they say, and no more than is allowed."""

import errno
import gzip
import os
import stat
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.intake import archive, images
from service.intake.archive import Archive
from service.intake.refusal import Refused
from tests.service.checked import faults, taken
from tests.service.test_hostile_uploads import idx, npy, picture, special, zipped
from tests.uploading import npz

X, Y = npy(np.arange(8.0).reshape(4, 2)), npy(np.arange(4) % 2)
GOOD = zipped(("x.npy", X), ("y.npy", Y), compression=zipfile.ZIP_STORED)
CENTRAL, LOCAL, END = b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"


def patched(body: bytes, signature: bytes, offset: int, value: bytes, *, last: bool = False) -> bytes:
    """The archive with other bytes at an offset of its first record of a kind, or of its last."""
    at = (body.rindex if last else body.index)(signature) + offset
    return body[:at] + value + body[at + len(value) :]


def encrypted() -> bytes:
    return patched(patched(GOOD, CENTRAL, 8, b"\1\0"), LOCAL, 6, b"\1\0")


def named(name: str) -> bytes:
    return zipped((name, X), ("y.npy", Y))


UNSAFE = {
    "encrypted": encrypted(),
    "bzip2": zipped(("x.npy", X), compression=zipfile.ZIP_BZIP2),
    "lzma": zipped(("x.npy", X), compression=zipfile.ZIP_LZMA),
    **{f"a special file of kind {kind:o}": special("x.npy", kind) for kind in (stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFBLK)},
    "a link for a folder": special("x/", stat.S_IFLNK),
    **{name: named(name) for name in ("a/../x.npy", "..", "/x.npy", "C:x.npy", "c:/x.npy", "a\\x.npy", "x\x7f.npy", "x\u202eypn.npy")},
    **{f"nested{suffix}": named(f"a/b{suffix}") for suffix in (".zip", ".TAR", ".tgz", ".tar.gz.bz2", ".xz", ".7z", ".rar", ".zst")},
    "256 characters": named("a" * 252 + ".npy"),
}  # fmt: skip


@pytest.mark.parametrize("body", UNSAFE.values(), ids=UNSAFE.keys())
def test_an_entry_that_is_no_plain_file_under_a_plain_name_is_refused(body: bytes) -> None:
    assert [code for code, _ in faults(body)] == ["unsafe_entry"]


def test_files_and_folders_as_unix_packs_them_are_taken() -> None:
    entries = []
    for name, kind, content in (("a/", stat.S_IFDIR, b""), ("a/1.png", stat.S_IFREG, picture()), ("b/1.png", stat.S_IFREG, picture())):
        info = zipfile.ZipInfo(name)
        info.create_system, info.external_attr = 3, (kind | 0o755) << 16
        entries.append((info, content))
    assert taken(zipped(*entries))[1]["outputs"] == 2


def test_an_entry_is_told_of_by_its_name_without_what_could_forge_a_line() -> None:
    assert faults(named("a\r\nb" + "c" * 100)) == [("unsafe_entry", ["files", "a??b" + "c" * 76 + "…"])]


@pytest.mark.parametrize("folder", ["top/b:c", "a..b", "..a", "a" * 249, "a b", "大"], ids=lambda folder: folder[:9])
def test_names_that_only_look_odd_are_taken(folder: str) -> None:
    _, facts = taken(zipped((f"{folder}/1.png", picture()), (f"{folder.rpartition('/')[0] or '.'}/z/1.png", picture())))
    assert facts["train_rows"] == 2


@pytest.mark.parametrize("names", [("a/1.png", "A/1.PNG"), ("a/1.png", "a/1.png/"), ("ß/1.png", "SS/1.png")])
def test_two_names_that_some_systems_take_for_one_are_refused(names: tuple[str, str]) -> None:
    assert faults(zipped(*((name, b"" if name.endswith("/") else picture()) for name in names))) == [
        ("duplicate_entry", ["files", names[1]])
    ]


def test_an_entry_reaches_neither_into_the_next_nor_into_the_directory() -> None:
    assert taken(GOOD)
    for last, size, name in ((False, len(X), "x.npy"), (True, len(Y), "y.npy")):
        longer = patched(GOOD, CENTRAL, 20, (size + 1).to_bytes(4, "little"), last=last)
        assert faults(longer) == [("overlapping_entries", ["files", name])]


def test_as_many_entries_are_taken_as_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_ENTRIES", 2)
    assert taken(GOOD)
    assert faults(zipped(("x.npy", X), ("y.npy", Y), ("z/", b""))) == [("too_many_entries", [])]
    few = patched(zipped(*((f"{number}.npy", X) for number in range(3))), END, 10, b"\1\0")
    assert faults(few) == [("too_many_entries", [])]
    assert faults(patched(GOOD, END, 10, b"\3\0")) == [("too_many_entries", [])]


def in_64_bits(entries: int, directory: int | None = None, old: bytes = b"\xff" * 12) -> bytes:
    """The good archive with the longer end record, which says that it holds so many entries, and the old one pointing to it."""
    at = GOOD.rindex(END)
    start, size = GOOD.index(CENTRAL), at - GOOD.index(CENTRAL) if directory is None else directory
    big = b"PK\x06\x06" + (44).to_bytes(8, "little") + b"\x2d\0\x2d\0" + bytes(8)
    big += b"".join(value.to_bytes(8, "little") for value in (entries, entries, size, start))
    locator = b"PK\x06\x07" + bytes(4) + at.to_bytes(8, "little") + b"\1\0\0\0"
    return GOOD[:at] + big + locator + END + b"\0\0\0\0" + old + b"\0\0"


def test_an_end_record_of_64_bits_is_believed_no_more_than_one_of_32() -> None:
    assert taken(in_64_bits(2))
    assert faults(in_64_bits(2, directory=10**9)) == [("too_many_entries", [])]
    for old in (b"\xff" * 12, b"\2\0\2\0" + b"\xff" * 8, b"\xff" * 4 + b"\1\0\0\0\1\0\0\0"):
        assert taken(in_64_bits(2, old=old))
        assert faults(in_64_bits(10**6, old=old)) == [("too_many_entries", [])]


def test_what_only_looks_like_an_end_record_of_64_bits_is_none() -> None:
    assert taken(patched(GOOD, END, 8, b"\xff\xff\xff\xff"))
    looks = np.frombuffer(b"PK\x06\x07PK\x06\x06" + b"\xff" * 56, np.uint8).reshape(4, 16)
    assert taken(zipped(("x.npy", npy(looks)), ("y.npy", Y), compression=zipfile.ZIP_STORED))


def test_the_longest_comment_hides_no_end_record() -> None:
    body = GOOD[:-2] + b"\xff\xff" + b"c" * 65_535
    assert taken(body)
    assert faults(GOOD[: GOOD.rindex(END) + 21]) == [("broken_archive", [])]


def test_what_unpacks_to_more_than_is_allowed_is_refused_at_the_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked = len(X) + len(Y)
    assert taken(GOOD, unpacked)
    assert faults(GOOD, unpacked - 1) == [("too_large", [])]
    (tmp_path / "upload").write_bytes(GOOD)
    with pytest.raises(Refused):  # before any of it is unpacked
        Archive(tmp_path / "upload", unpacked - 1)
    monkeypatch.setattr(archive, "MAX_RATIO", 20)
    packed = npz(x=np.zeros((1000, 8)), y=np.arange(1000) % 2)
    assert taken(packed)
    monkeypatch.setattr(archive, "FREE_BYTES", 10)
    assert taken(GOOD)
    assert faults(packed) == [("ratio", [])]
    twice = zipped(("train-images-idx1-ubyte.gz", gzip.compress(idx(np.zeros(9000, np.uint8)))), ("train-labels-idx1-ubyte", b""))
    assert faults(twice) == [("ratio", [])], "what a gzip within it unpacks to counts as well"


def test_an_image_of_too_many_bytes_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    body = zipped(*((f"{name}/1.png", picture()) for name in "ab"))
    monkeypatch.setattr(images, "MOST_BYTES", len(picture()))
    assert taken(body)
    monkeypatch.setattr(images, "MOST_BYTES", len(picture()) - 1)
    assert faults(body) == [("too_large", ["files", "a/1.png"])]


@pytest.mark.parametrize(("most", "code"), [(16, None), (15, "too_many_pixels")])
def test_an_image_of_too_many_pixels_is_not_decoded(most: int, code: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MOST_PIXELS", most)
    body = zipped(*((f"{name}/1.png", picture()) for name in "ab"))
    if code is None:
        assert taken(body)
    else:
        assert faults(body) == [(code, ["files", "a/1.png"]), (code, ["files", "b/1.png"])]


@pytest.mark.parametrize(("error", "raised"), [(OSError(errno.EIO, os.strerror(errno.EIO)), OSError), (OSError("odd data"), Refused)])
def test_a_disk_of_ours_that_fails_is_not_a_fault_of_the_archive(
    error: OSError, raised: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any) -> bytes:
        raise error

    (tmp_path / "upload").write_bytes(GOOD)
    opened = Archive(tmp_path / "upload", 10**9)
    monkeypatch.setattr(zipfile.ZipExtFile, "read", failing)
    with pytest.raises(raised) as told:
        opened.content("x.npy", 10**9)
    assert isinstance(told.value, OSError) is (raised is OSError)


@pytest.mark.parametrize(
    ("head", "remedy"),
    [
        (b"\x93NUMPY\1\0", "save x and y together"), (b"\x1f\x8b\x08", "it is a gzip file"), (b"\0\0\x08\3", "zip the images and their labels"),
        (b"\x80\4", "never read"), (b"\x89PNG\r\n", "a folder for each class"), (b"PK\7\x08", "no zip archive"), (b"x", "no zip archive"),
    ],
)  # fmt: skip
def test_what_is_no_archive_is_told_with_what_to_send_instead(head: bytes, remedy: str) -> None:
    with pytest.raises(Refused, match=remedy) as refused:
        taken(head + GOOD)
    assert refused.value.faults[0]["code"] == "unknown_format"

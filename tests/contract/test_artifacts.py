"""What a place for bytes promises: whole or not at all, checked on the way in, never outside its folder."""

import errno
import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from contract.artifacts import Artifacts, LocalFolder
from contract.errors import ArtifactCorruptError, ArtifactsUnavailableError, ConfigurationError, NotFoundError
from contract.objects import Bucket, opened
from contract.settings import Settings

BODY = bytes(range(256)) * 10
SHA = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(BODY)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> LocalFolder:
    return LocalFolder(tmp_path / "artifacts")


@pytest.fixture
def bucket(s3: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    return Bucket(f"s3://ridgeline/{uuid4().hex}", s3)


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest) -> Artifacts:
    """Each kind of place there is."""
    made: Artifacts = request.getfixturevalue(request.param)
    return made


def test_what_was_put_is_read_back_whole_or_in_part(place: Artifacts, source: Path) -> None:
    stored = place.put("job/1/model", source, SHA)
    assert stored.size_bytes == len(BODY)
    assert b"".join(place.read("job/1/model")) == BODY
    assert b"".join(place.read("job/1/model", 10, 20)) == BODY[10:20]
    assert b"".join(place.read("job/1/model", 2550)) == BODY[2550:]
    assert b"".join(place.read("job/1/model", 5, 5)) == b""
    assert b"".join(place.read("job/1/model", 5000)) == b""
    assert b"".join(place.read("job/1/model", 2000, 5000)) == BODY[2000:]


def test_bytes_with_another_checksum_are_not_stored_and_leave_nothing_behind(place: Artifacts, source: Path) -> None:
    with pytest.raises(ArtifactCorruptError, match="not stored"):
        place.put("job/1/model", source, "0" * 64)
    assert list(place.list()) == []
    if isinstance(place, LocalFolder):
        assert [path for path in place.folder.rglob("*") if path.is_file()] == []


def test_a_put_that_fails_leaves_what_was_there(place: Artifacts, source: Path) -> None:
    place.put("job/1/model", source, SHA)
    source.write_bytes(b"half")
    with pytest.raises(ArtifactCorruptError):
        place.put("job/1/model", source, SHA)
    assert b"".join(place.read("job/1/model")) == BODY


def test_a_list_shows_what_lies_under_a_prefix_and_a_delete_removes_it(place: Artifacts, source: Path) -> None:
    for key in ("job/1/a", "job/1/b", "job/2/a"):
        place.put(key, source, SHA)
    assert [artifact.key for artifact in place.list("job/1")] == ["job/1/a", "job/1/b"]
    place.delete("job/1")
    place.delete("job/1")
    assert [artifact.key for artifact in place.list()] == ["job/2/a"]
    place.delete("job/2/a")
    place.prune(0.0)
    assert list(place.list()) == []


def test_a_prefix_is_of_whole_parts(place: Artifacts, source: Path) -> None:
    place.put("job/11/a", source, SHA)
    assert list(place.list("job/1")) == []
    place.delete("job/1")
    assert [artifact.key for artifact in place.list("job")] == ["job/11/a"]


def test_a_put_that_is_repeated_is_harmless(place: Artifacts, source: Path) -> None:
    first = place.put("job/1/model", source, SHA)
    again = place.put("job/1/model", source, SHA)
    assert (first.key, first.size_bytes) == (again.key, again.size_bytes)
    assert b"".join(place.read("job/1/model")) == BODY


def assert_never_replaced(place: Artifacts, source: Path) -> None:
    place.put("job/1/model", source, SHA)
    place.put("job/1/model", source, SHA)
    source.write_bytes(b"others")
    with pytest.raises(ArtifactCorruptError, match="never replaced"):
        place.put("job/1/model", source, hashlib.sha256(b"others").hexdigest())
    assert b"".join(place.read("job/1/model")) == BODY
    assert [artifact.key for artifact in place.list()] == ["job/1/model"]


@pytest.mark.parametrize("whole", [0, 64 << 20], ids=["in parts", "in one"])
def test_what_a_bucket_holds_is_never_replaced(bucket: Bucket, source: Path, whole: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contract.objects._WHOLE", whole)
    assert_never_replaced(bucket, source)


@pytest.mark.parametrize("has_links", [True, False], ids=["with links", "without links"])
def test_what_a_folder_holds_is_never_replaced(folder: LocalFolder, source: Path, has_links: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not has_links:
        monkeypatch.setattr("os.link", failing(errno.EPERM))
    assert_never_replaced(folder, source)
    assert [path.name for path in folder.folder.rglob("*") if path.is_file()] == ["model"]


def test_of_two_who_write_a_key_at_once_the_second_does_not_replace_the_first(
    folder: LocalFolder, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = os.link

    def later(part: Path, place: Path) -> None:
        """Another has just given its bytes the name."""
        place.write_bytes(b"others")
        really(part, place)

    monkeypatch.setattr("os.link", later)
    with pytest.raises(ArtifactCorruptError, match="never replaced"):
        folder.put("job/1/model", source, SHA)
    assert b"".join(folder.read("job/1/model")) == b"others"


def test_a_bucket_that_is_not_there_is_unavailable_not_empty(s3: str, source: Path) -> None:
    nowhere = Bucket("s3://nobodys", s3)
    for deed in (lambda: nowhere.put("a", source, SHA), lambda: list(nowhere.list()), lambda: nowhere.read("a")):
        with pytest.raises(ArtifactsUnavailableError):
            deed()


def test_a_server_that_is_not_there_is_unavailable(s3: str, source: Path) -> None:
    with pytest.raises(ArtifactsUnavailableError, match="s3://ridgeline"):
        Bucket("s3://ridgeline", "http://127.0.0.1:1").put("a", source, SHA)


def test_the_settings_choose_the_place(s3: str, tmp_path: Path) -> None:
    assert isinstance(opened(Settings(artifacts_folder=tmp_path)), LocalFolder)
    assert isinstance(opened(Settings(artifacts_url="s3://ridgeline/x", s3_endpoint=s3)), Bucket)
    with pytest.raises(ConfigurationError, match="s3://BUCKET"):
        opened(Settings(artifacts_url="gs://ridgeline"))


@pytest.mark.parametrize("deed", ["read", "stat"])
def test_a_key_that_holds_nothing_is_not_found(place: Artifacts, deed: str) -> None:
    with pytest.raises(NotFoundError):
        getattr(place, deed)("job/none")


@pytest.mark.parametrize("key", ["../x", "/etc/passwd", "a/../../x", "", "a//b", ".hidden", "a/.hidden", "a\x00b", "a/"])
def test_a_key_never_leads_outside_or_to_a_hidden_file(place: Artifacts, source: Path, key: str) -> None:
    with pytest.raises(ValueError, match="no artifact key"):
        place.put(key, source, SHA)


def test_a_place_that_cannot_be_written_says_so(tmp_path: Path, source: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ArtifactsUnavailableError):
        LocalFolder(tmp_path / "file").put("job/1", source, SHA)


def test_what_a_killed_writer_left_is_pruned_once_it_is_old_and_nothing_else_is(folder: LocalFolder, source: Path) -> None:
    folder.put("job/1/model", source, SHA)
    old, young = (folder.folder / "job" / "1" / f".model.{name}.part" for name in ("old", "young"))
    for path in (old, young, folder.folder / "job" / "1" / "model"):
        path.write_bytes(BODY)
    for path in (old, folder.folder / "job" / "1" / "model"):
        os.utime(path, (1.0, 1.0))
    assert [artifact.key for artifact in folder.list()] == ["job/1/model"]
    folder.prune(3600)
    assert sorted(path.name for path in old.parent.iterdir()) == [young.name, "model"]


def test_folders_that_hold_nothing_any_more_go_and_the_place_itself_stays(folder: LocalFolder, source: Path) -> None:
    folder.put("job/1/model", source, SHA)
    folder.put("job/2/a/model", source, SHA)
    folder.delete("job/2/a")
    assert [path.name for path in (folder.folder / "job").iterdir()] == ["1"]
    folder.delete("job/1/model")
    assert list(folder.folder.iterdir()) == []


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_links_is_written_to_by_renames(
    folder: LocalFolder, source: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.link", failing(number))
    assert_never_replaced(folder, source)


def failing(number: int) -> Callable[..., None]:
    def link(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return link


def test_a_disk_that_is_full_stores_nothing_and_says_why(folder: LocalFolder, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.link", failing(errno.ENOSPC))
    with pytest.raises(ArtifactsUnavailableError, match="failed: No space left on device"):
        folder.put("job/1/model", source, SHA)
    assert [path for path in folder.folder.rglob("*") if path.is_file()] == []


def test_bytes_are_on_the_disk_before_they_have_their_name_and_the_name_before_they_are_told_of(
    folder: LocalFolder, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, str]] = []
    flush, link = os.fsync, os.link

    def flushed(handle: int) -> None:
        done.append(("flush", re.sub(r"\.[0-9a-f]+\.part", "", Path(os.readlink(f"/proc/self/fd/{handle}")).name)))
        assert os.fstat(handle).st_size or Path(f"/proc/self/fd/{handle}").is_dir()
        flush(handle)

    def linked(part: Path, place: Path) -> None:
        done.append(("name", place.name))
        link(part, place)

    monkeypatch.setattr("os.fsync", flushed)
    monkeypatch.setattr("os.link", linked)
    folder.folder.mkdir()
    folder.put("job/1/model", source, SHA)
    names = ("artifacts", "job")  # each has a new name within it
    assert done == [*(("flush", name) for name in names), ("flush", ".model"), ("name", "model"), ("flush", "1")]


def test_two_writers_may_make_one_folder_at_once(folder: LocalFolder, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.put("job/1/model", source, SHA)
    there, looks = Path.is_dir, iter([False])
    monkeypatch.setattr(Path, "is_dir", lambda path: next(looks, there(path)))
    assert folder.put("job/1/other", source, SHA).size_bytes == len(BODY)
    assert list(looks) == []


def test_no_handle_stays_open(folder: LocalFolder, source: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(40):
        folder.put("job/1/model", source, SHA)
        list(folder.read("job/1/model"))
    assert len(os.listdir("/proc/self/fd")) < before + 20


def test_a_part_is_read_in_pieces_and_ends_where_it_is_to_end(folder: LocalFolder, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contract.artifacts._CHUNK", 100)
    folder.put("model", source, SHA)
    pieces = list(folder.read("model", 50, 300))
    assert ([len(piece) for piece in pieces], b"".join(pieces)) == ([100, 100, 50], BODY[50:300])
    assert list(folder.read("model", 300, 50)) == []


def test_an_object_that_was_removed_while_others_are_listed_is_left_out(
    folder: LocalFolder, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("a", "b"):
        folder.put(key, source, SHA)
    found = folder.list()
    assert next(found).key == "a"
    folder.delete("b")
    assert list(found) == []


@pytest.mark.parametrize("deed", ["read", "stat", "list", "delete"])
@pytest.mark.parametrize("key", ["../x", "/etc/passwd", "a/../../x", ".hidden", "a\x00b"])
def test_no_deed_leads_outside(place: Artifacts, deed: str, key: str) -> None:
    with pytest.raises(ValueError, match="no artifact key"):
        list(getattr(place, deed)(key) or ())


@pytest.mark.parametrize("deed", ["read", "stat", "list", "delete"])
def test_a_folder_that_cannot_be_read_is_unavailable_not_empty(folder: LocalFolder, deed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    for name in ("open", "stat", "rglob", "unlink"):
        monkeypatch.setattr(Path, name, broken)
    with pytest.raises(ArtifactsUnavailableError, match="Input/output error"):
        list(getattr(folder, deed)("a") or ())

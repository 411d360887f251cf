"""What a place for bytes promises: whole or not at all, checked on the way in, never outside its folder."""

import hashlib
from pathlib import Path

import pytest

from contract.artifacts import LocalFolder
from contract.errors import ArtifactCorruptError, ArtifactsUnavailableError, NotFoundError

BODY = bytes(range(256)) * 10
SHA = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(BODY)
    return path


@pytest.fixture
def place(tmp_path: Path) -> LocalFolder:
    return LocalFolder(tmp_path / "artifacts")


def test_what_was_put_is_read_back_whole_or_in_part(place: LocalFolder, source: Path) -> None:
    stored = place.put("job/1/model", source, SHA)
    assert stored.size_bytes == len(BODY)
    assert b"".join(place.read("job/1/model")) == BODY
    assert b"".join(place.read("job/1/model", 10, 20)) == BODY[10:20]
    assert b"".join(place.read("job/1/model", 2550)) == BODY[2550:]
    assert b"".join(place.read("job/1/model", 5, 5)) == b""


def test_bytes_with_another_checksum_are_not_stored_and_leave_nothing_behind(place: LocalFolder, source: Path) -> None:
    with pytest.raises(ArtifactCorruptError, match="not stored"):
        place.put("job/1/model", source, "0" * 64)
    assert [path for path in place.folder.rglob("*") if path.is_file()] == []


def test_a_put_that_fails_leaves_what_was_there(place: LocalFolder, source: Path) -> None:
    place.put("job/1/model", source, SHA)
    source.write_bytes(b"half")
    with pytest.raises(ArtifactCorruptError):
        place.put("job/1/model", source, SHA)
    assert b"".join(place.read("job/1/model")) == BODY


def test_a_list_shows_what_lies_under_a_prefix_and_a_delete_removes_it(place: LocalFolder, source: Path) -> None:
    for key in ("job/1/a", "job/1/b", "job/2/a"):
        place.put(key, source, SHA)
    assert [artifact.key for artifact in place.list("job/1")] == ["job/1/a", "job/1/b"]
    place.delete("job/1")
    place.delete("job/1")
    assert [artifact.key for artifact in place.list()] == ["job/2/a"]


@pytest.mark.parametrize("deed", ["read", "stat"])
def test_a_key_that_holds_nothing_is_not_found(place: LocalFolder, deed: str) -> None:
    with pytest.raises(NotFoundError):
        getattr(place, deed)("job/none")


@pytest.mark.parametrize("key", ["../x", "/etc/passwd", "a/../../x", "", "a//b", ".hidden", "a/.hidden", "a\x00b", "a/"])
def test_a_key_never_leads_outside_or_to_a_hidden_file(place: LocalFolder, source: Path, key: str) -> None:
    with pytest.raises(ValueError, match="no artifact key"):
        place.put(key, source, SHA)


def test_a_place_that_cannot_be_written_says_so(tmp_path: Path, source: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ArtifactsUnavailableError):
        LocalFolder(tmp_path / "file").put("job/1", source, SHA)

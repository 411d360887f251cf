"""A part never outlives what started it."""

import os
import subprocess
import sys
import time
from pathlib import Path

from client import tether


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_tied_child_dies_with_a_parent_that_is_killed() -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os, subprocess, sys, time\n"
            f"child = subprocess.Popen([sys.executable, {tether.__file__!r}, str(os.getpid()), '--', 'sh', '-c', 'echo up; exec sleep 600'],"
            " stdout=subprocess.PIPE, start_new_session=True)\n"
            "child.stdout.readline(); print(child.pid, flush=True); time.sleep(600)",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout
    child = int(parent.stdout.readline())
    assert is_running(child)
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 30
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_running(child)


def test_nothing_is_started_for_a_parent_that_is_gone() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    tied = subprocess.run(
        [sys.executable, "-m", "client.tether", str(gone.pid), "--", "echo", "started"], capture_output=True, text=True, check=False
    )
    assert tied.returncode != 0
    assert tied.stdout == ""
    assert f"the parent {gone.pid} is gone" in tied.stderr


def test_the_command_takes_the_tether_s_place_with_its_arguments() -> None:
    tied = subprocess.run(
        [sys.executable, "-m", "client.tether", str(os.getpid()), "--", "echo", "a b", "--", "c"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert tied.stdout == "a b -- c\n"


def test_a_call_without_a_command_says_how_to_call() -> None:
    tied = subprocess.run([sys.executable, "-m", "client.tether", "1"], capture_output=True, text=True, check=False)
    assert tied.returncode != 0
    assert "usage: python -m client.tether PARENT_PID -- COMMAND" in tied.stderr

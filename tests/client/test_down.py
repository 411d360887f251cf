"""What `ridgeline down` promises: it ends a stack of ours and nothing else, and afterwards nothing of it runs."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from client import broker, down
from client.cli import app
from client.errors import StackError
from client.folder import MARK, Lock
from tests.client import stand_ins
from tests.client.test_stack import PATIENCE_SECONDS, until

Launch = Callable[..., "subprocess.Popen[str]"]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "data"
    yield folder
    for pid in down.parts_of(folder):
        os.kill(pid, signal.SIGKILL)
    until(lambda: down.parts_of(folder) == [])


@pytest.fixture
def launch(data_dir: Path, tmp_path: Path) -> Iterator[Launch]:
    """Starts a stack of stand-ins by a program of this name, `ridgeline` unless another is said, and returns once it is up."""
    made: list[subprocess.Popen[str]] = []

    def start(name: str = "ridgeline", *, worker: str | None = None) -> "subprocess.Popen[str]":
        program = tmp_path / name
        commands = f"{{**stand_ins.COMMANDS, 'worker': [{sys.executable!r}, '-c', {worker!r}]}}" if worker else "stand_ins.COMMANDS"
        program.write_text(
            "from pathlib import Path; from client.stack import Stack; from client.up import serve; from tests.client import stand_ins\n"
            f"stack = Stack(Path({str(data_dir)!r}), port=0, ready_seconds=60, commands={commands})\n"
            "serve(stack, lambda url: print(f'ready {url}', flush=True))\n"
        )
        process = subprocess.Popen(
            [sys.executable, str(program), "up"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        made.append(process)
        assert process.stdout
        assert process.stdout.readline().startswith("ready http://")
        return process

    yield start
    for process in made:
        process.kill()
        process.wait()


def test_a_stack_is_ended_in_order_and_nothing_of_it_is_left(launch: Launch, data_dir: Path) -> None:
    up = launch()
    until(lambda: {"api-up", "worker-up"} <= set(stand_ins.notes(data_dir)))
    assert len(down.parts_of(data_dir)) == 3
    ended = down.end(data_dir)
    assert ended == down.Ended(up.pid, ())
    assert up.wait(PATIENCE_SECONDS) == 0
    assert stand_ins.notes(data_dir)[-4:] == ["worker-asked", "worker-down", "api-asked", "api-down"]
    assert down.parts_of(data_dir) == []
    assert (data_dir / "lock").read_text() == ""


def test_where_nothing_runs_it_says_so_makes_nothing_and_is_content(data_dir: Path) -> None:
    done = CliRunner().invoke(app, ["down", "--data-dir", str(data_dir)])
    assert (done.exit_code, done.stdout) == (0, f"no stack runs in {data_dir}, which does not exist\n")
    assert not data_dir.exists()
    shown = json.loads(CliRunner().invoke(app, ["down", "--data-dir", str(data_dir), "--json"]).stdout)
    assert shown == {"object": "stack", "status": "stopped", "data_dir": str(data_dir), "pid": None, "killed": []}


def test_the_command_says_which_stack_it_stopped_and_can_be_repeated(launch: Launch, data_dir: Path) -> None:
    up = launch()
    said = [CliRunner().invoke(app, ["down", "--data-dir", str(data_dir)]).stdout for _ in range(2)]
    assert said == [f"stopped the stack in {data_dir} (pid {up.pid})\n", f"no stack runs in {data_dir}\n"]


STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open({path!r}, 'w'); time.sleep(600)"


def test_now_does_not_wait_for_what_does_not_want_to_end(launch: Launch, data_dir: Path) -> None:
    up = launch(worker=STUBBORN.format(path=str(data_dir / "stubborn")))
    until((data_dir / "stubborn").exists)
    with pytest.raises(StackError, match=rf"pid {up.pid}\) was told to end 0\.5 s ago and has not; --now"):
        down.end(data_dir, patience_seconds=0.5)
    assert Lock(data_dir).owner() == (up.pid, True)
    assert up.poll() is None
    # Asking again in order does not hasten it: a job may be writing its checkpoint.
    with pytest.raises(StackError, match="--now"):
        down.end(data_dir, patience_seconds=0.5)
    assert up.poll() is None
    assert down.end(data_dir, now=True).pid == up.pid
    assert up.wait(PATIENCE_SECONDS) == 0
    assert down.parts_of(data_dir) == []


def test_now_ends_a_stack_that_was_not_asked_before_at_once(launch: Launch, data_dir: Path) -> None:
    up = launch(worker=STUBBORN.format(path=str(data_dir / "stubborn")))
    until((data_dir / "stubborn").exists)
    assert down.end(data_dir, now=True, patience_seconds=PATIENCE_SECONDS).pid == up.pid
    assert down.parts_of(data_dir) == []


def test_after_a_stack_that_was_killed_nothing_is_left_and_how_it_ended_stays_told(launch: Launch, data_dir: Path) -> None:
    up = launch()
    up.kill()
    up.wait()
    assert down.end(data_dir).pid is None
    assert down.parts_of(data_dir) == []
    # The next stack must still learn that this one did not end in order.
    assert (data_dir / "lock").read_text() == f"{up.pid}\n"


def test_a_part_that_outlived_its_stack_is_ended_and_a_process_that_only_resembles_one_is_not(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(down, "_LAST_SECONDS", 1.0)
    data_dir.mkdir()
    left, other, looker = (
        subprocess.Popen(["sleep", "60"], env={MARK: str(data_dir)}),
        subprocess.Popen(["sleep", "60"], env={MARK: f"{data_dir}-2"}),
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", str(broker.socket_for(data_dir))]),
    )
    try:
        until(lambda: left.pid in down.parts_of(data_dir))
        (data_dir / "lock").touch()
        done = CliRunner().invoke(app, ["down", "--data-dir", str(data_dir)])
        assert done.stdout == f"no stack runs in {data_dir}; killed what another had left running: {left.pid}\n"
        assert left.wait(PATIENCE_SECONDS) == -signal.SIGKILL
        assert (other.poll(), looker.poll()) == (None, None)
    finally:
        for process in (left, other, looker):
            process.kill()
            process.wait()


def test_a_stack_inside_a_program_that_is_not_ours_is_named_and_left_alone(launch: Launch, data_dir: Path) -> None:
    program = launch("somebodys.py")
    with pytest.raises(StackError, match=rf"in use by pid {program.pid}, `.*somebodys\.py up`, which is no command of ours"):
        down.end(data_dir, now=True)
    assert program.poll() is None
    assert len(down.parts_of(data_dir)) == 3


@pytest.mark.parametrize("written", ["{own}\n", "1\n", "999999999\n", "", "x\n"])
def test_a_lock_held_by_another_than_the_pid_in_it_gets_no_process_a_signal(tmp_path: Path, written: str) -> None:
    bystander = subprocess.Popen(["sleep", "60"])
    program = f"import fcntl, time; file = open({str(tmp_path / 'lock')!r}, 'w'); fcntl.flock(file, fcntl.LOCK_EX); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", program])
    lock = Lock(tmp_path)
    try:
        until(lock.is_held)
        (tmp_path / "lock").write_text(written.format(own=bystander.pid))
        with pytest.raises(StackError, match="cannot be seen from here"):
            down.end(tmp_path)
        assert (bystander.poll(), holder.poll()) == (None, None)
    finally:
        for process in (holder, bystander):
            process.kill()
            process.wait()


def test_a_folder_whose_owner_is_being_looked_for_can_be_taken_right_after(tmp_path: Path) -> None:
    lock = Lock(tmp_path)
    assert lock.take()
    assert Lock(tmp_path).is_held()
    lock.release()
    with Lock(tmp_path).unowned() as is_free:
        assert is_free
        with pytest.raises(StackError, match="in use"):
            Lock(tmp_path).take()
    assert Lock(tmp_path).take()

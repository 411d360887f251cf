"""What a stack on this machine promises: one owner, everything started, nothing left behind. The broker is the real one."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from client import broker, preparation
from client.errors import StackError
from client.parts import Part
from client.stack import Stack
from contract.store import Store, schema, workers
from tests.client import stand_ins
from tests.processes import of_folder as parts_of

PATIENCE_SECONDS = 30


def until(holds: Callable[[], object]) -> None:
    """Wait until something holds, which it must before patience ends."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.02)


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "data"
    yield folder
    for pid in parts_of(folder):
        os.kill(pid, signal.SIGKILL)
    until(lambda: parts_of(folder) == [])


@pytest.fixture
def up(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """A stack of stand-ins in a process of its own, which has said that it is ready."""
    process = launch(data_dir)
    yield process
    process.kill()
    process.wait()


def launch(data_dir: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", stand_ins.NAME, "up", str(data_dir)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline().startswith("ready http://127.0.0.1:")
    return process


def test_a_stack_runs_a_real_broker_that_is_gone_after_it_stops(data_dir: Path) -> None:
    socket = broker.socket_for(data_dir)
    with stand_ins.stack(data_dir):
        assert Redis(unix_socket_path=str(socket)).ping()
        assert socket.parent.stat().st_mode & 0o777 == 0o700
    assert not socket.parent.exists()
    assert parts_of(data_dir) == []


def test_a_stack_brings_its_database_to_the_schema_of_this_version(data_dir: Path) -> None:
    with stand_ins.stack(data_dir):
        store = Store(f"sqlite:///{data_dir}/ridgeline.db")
        schema.assert_current(store)
        store.close()


def test_a_second_stack_on_the_folder_is_refused_with_the_pid_of_the_first(data_dir: Path) -> None:
    with stand_ins.stack(data_dir), pytest.raises(StackError, match=rf"is in use by another stack \(pid {os.getpid()}\).*--data-dir"):
        stand_ins.stack(data_dir).start()
    with stand_ins.stack(data_dir):
        assert stand_ins.notes(data_dir).count("api-up") == 2


def test_a_port_in_use_is_told_before_anything_is_started(data_dir: Path) -> None:
    with stand_ins.stack(data_dir) as first:
        second = Stack(data_dir.with_name("other"), port=first.port, commands=stand_ins.COMMANDS)
        with pytest.raises(StackError, match=rf"port {first.port} on 127\.0\.0\.1 cannot be used: .*in use; .*--port 0"):
            second.start()
    assert not (data_dir.with_name("other") / "logs").exists()


def test_workers_share_the_cores_and_have_a_scratch_folder_each(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RIDGELINE_TRAINER_THREADS", raising=False)
    with stand_ins.stack(data_dir, workers=2, device="cpu"):
        until(lambda: stand_ins.notes(data_dir).count("worker-up") == 2)
    told = [json.loads((data_dir / "scratch" / f"worker-{index}" / "environment").read_text()) for index in (1, 2)]
    for environment in told:
        assert environment["RIDGELINE_TRAINER_THREADS"] == str(max(1, len(os.sched_getaffinity(0)) // 2))
        assert environment["RIDGELINE_DEVICE"] == "cpu"
        assert environment["RIDGELINE_REDIS_URL"] == f"redis+socket://{broker.socket_for(data_dir)}?virtual_host=0"


def test_a_broker_named_by_the_operator_is_used_in_place_of_the_embedded_one(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIDGELINE_REDIS_URL", "redis://broker.example:6379/0")
    with stand_ins.stack(data_dir):
        until(lambda: "worker-up" in stand_ins.notes(data_dir))
        assert not (data_dir / "logs" / "valkey.log").exists()
    environment = json.loads((data_dir / "scratch" / "worker-1" / "environment").read_text())
    assert environment["RIDGELINE_REDIS_URL"] == "redis://broker.example:6379/0"


def test_workers_are_stopped_before_the_api_is_asked(data_dir: Path) -> None:
    with stand_ins.stack(data_dir, workers=2):
        until(lambda: stand_ins.notes(data_dir).count("worker-up") == 2)
    assert stand_ins.notes(data_dir)[-2:] == ["api-asked", "api-down"]
    assert stand_ins.notes(data_dir).count("worker-down") == 2


@pytest.mark.parametrize("name", ["valkey-server", "worker", "api"])
def test_a_part_that_is_killed_is_started_again(data_dir: Path, name: str) -> None:
    news: list[str] = []
    with stand_ins.stack(data_dir, say=news.append):
        until(lambda: {"api-up", "worker-up"} <= set(stand_ins.notes(data_dir)))
        (victim,) = [pid for pid in parts_of(data_dir) if name in Path(f"/proc/{pid}/cmdline").read_text()]
        os.kill(victim, signal.SIGKILL)
        until(lambda: any("was started again" in line for line in news))
    assert any("was ended by SIGKILL; starting it again in 0.5 s" in line for line in news)
    assert (data_dir / "lock").read_text() == f"{os.getpid()} stopping\n"


def test_a_part_that_cannot_run_ends_the_start_with_the_last_lines_of_its_log(data_dir: Path) -> None:
    broken = {**stand_ins.COMMANDS, "worker": [sys.executable, "-c", "raise SystemExit('no torch here')"], "api": ["sleep", "60"]}
    with pytest.raises(StackError, match=r"worker-1 died 3 times while starting\nthe end of .*worker-1\.log:\n(.*\n)*no torch here"):
        Stack(data_dir, port=0, commands=broken, say=lambda _: None).start()
    assert parts_of(data_dir) == []


def test_a_stack_that_does_not_become_ready_says_why_and_leaves_nothing(data_dir: Path) -> None:
    silent = {**stand_ins.COMMANDS, "api": ["sleep", "60"]}
    with pytest.raises(StackError, match=r"not ready after 0\.1 s: no answer from http.*the logs are in"):
        Stack(data_dir, port=0, commands=silent, ready_seconds=0.1, say=lambda _: None).start()
    assert parts_of(data_dir) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_up_says_one_line_and_ends_well_on_a_signal(up: subprocess.Popen[str], data_dir: Path, number: signal.Signals) -> None:
    until(lambda: {"api-up", "worker-up"} <= set(stand_ins.notes(data_dir)))
    up.send_signal(number)
    out, err = up.communicate(timeout=PATIENCE_SECONDS)
    assert (up.returncode, out) == (0, "")
    assert f"{number.name}: stopping" in err
    assert stand_ins.notes(data_dir)[-4:] == ["worker-asked", "worker-down", "api-asked", "api-down"]
    assert parts_of(data_dir) == []


def test_a_second_signal_ends_what_does_not_want_to_end(data_dir: Path) -> None:
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('{}', 'w'); time.sleep(600)"
    program = (
        "import sys; from pathlib import Path; from client.stack import Stack; from client.up import serve; from tests.client import stand_ins\n"
        f"worker = [sys.executable, '-c', {stubborn.format(data_dir / 'stubborn')!r}]\n"
        f"commands = {{**stand_ins.COMMANDS, 'worker': worker}}\n"
        f"serve(Stack(Path({str(data_dir)!r}), port=0, commands=commands), lambda url: print(url, flush=True))"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stderr
    assert process.stdout.readline()
    until((data_dir / "stubborn").exists)
    process.send_signal(signal.SIGINT)
    assert "starting" in process.stderr.readline()
    assert "SIGINT: stopping" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    # As after a stack that was killed: the next one sets free what the worker held.
    assert (data_dir / "lock").read_text() == f"{process.pid} stopping\n"
    assert parts_of(data_dir) == []


def test_nothing_outlives_a_stack_that_is_killed_and_the_folder_can_be_used_again(up: subprocess.Popen[str], data_dir: Path) -> None:
    until(lambda: {"api-up", "worker-up"} <= set(stand_ins.notes(data_dir)))
    assert len(parts_of(data_dir)) == 3
    up.kill()
    up.wait()
    until(lambda: parts_of(data_dir) == [])
    assert broker.socket_for(data_dir).exists()
    with stand_ins.stack(data_dir):
        assert Redis(unix_socket_path=str(broker.socket_for(data_dir))).ping()


def test_workers_of_a_stack_that_was_killed_do_not_count_as_there(data_dir: Path) -> None:
    with stand_ins.stack(data_dir):
        """Makes the database."""
    store = Store(f"sqlite:///{data_dir}/ridgeline.db")
    workers.seen(store, worker_id="w", host="h", pid=1, state="idle", device="cpu", versions={})
    with stand_ins.stack(data_dir):
        assert [worker.id for worker in workers.listed(store)] == ["w"]
    (data_dir / "lock").write_text("12345\n")
    with stand_ins.stack(data_dir):
        assert workers.listed(store) == []
    store.close()


def test_workers_in_a_database_shared_with_other_machines_stay(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/shared.db")
    schema.migrate(store)
    workers.seen(store, worker_id="w", host="h", pid=1, state="idle", device="cpu", versions={})
    preparation.prepare(tmp_path, f"sqlite:///{tmp_path}/shared.db", in_order=False)
    assert [worker.id for worker in workers.listed(store)] == ["w"]
    store.close()


def test_a_log_that_grew_large_is_put_aside_once(data_dir: Path) -> None:
    logs = data_dir / "logs"
    logs.mkdir(parents=True)
    (logs / "api.log").write_bytes(b"x" * 6_000_000)
    (logs / "worker-1.log").write_text("short\n")
    with stand_ins.stack(data_dir):
        assert (logs / "api.log.1").stat().st_size == 6_000_000
        assert (logs / "api.log").stat().st_size < 6_000_000
        assert (logs / "worker-1.log").read_text().startswith("short")


def test_a_part_waits_longer_after_each_death(tmp_path: Path) -> None:
    part = Part("p", ["false"], tmp_path / "p.log", environment=os.environ, stop_seconds=1)
    part.start()
    waits = []
    for _ in range(3):
        until(lambda: not part.is_running)
        news = part.look_after()
        assert news
        waits.append(news.partition(" again in ")[2].partition(" s;")[0])
        part._again_at = 0.0
        part.look_after()
    part.kill()
    assert waits == ["0.5", "1", "2"]

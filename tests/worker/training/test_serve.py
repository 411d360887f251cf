"""The trainer process does as it is told, answers each order once, survives a failed job, and never outlives its parent."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from contract import events
from contract.events import FailureCode
from tests.worker.training import jobs
from worker import orders
from worker.training import checkpoint, serve, wire
from worker.training.faults import DataInvalidError

ENDLESS = {"epochs": 10_000, "checkpoints": {"every_epochs": 10_000, "monitor": "train.loss", "mode": "max"}}
IS_LAST = events.Finished | events.Stopped | events.Failed


class Process:
    """A real trainer, spoken to over its pipes."""

    def __init__(self, *, code: str = "", **environment: str) -> None:
        # `code` runs inside the process before the trainer does: what a library or a broken machine may do to it.
        start = f"import runpy\n{code}\nrunpy.run_module('worker.training', run_name='__main__', alter_sys=True)"
        env = {**os.environ, "RIDGELINE_TRAINER_THREADS": "1", "RIDGELINE_PARENT_PID": str(os.getpid()), **environment}
        self.child = subprocess.Popen(
            [sys.executable, "-c", start], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
        )

    def tell(self, *told: orders.Order) -> None:
        for order in told:
            self.write(orders.to_line(order))

    def write(self, line: str) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(line.encode() + b"\n")
        self.child.stdin.flush()

    def hear(self) -> events.Event:
        assert self.child.stdout is not None
        return events.from_line(self.child.stdout.readline())

    def hear_until(self, wanted: Callable[[events.Event], bool]) -> list[events.Event]:
        heard = [self.hear()]
        while not wanted(heard[-1]):
            heard.append(self.hear())
        return heard

    def hear_out(self) -> list[events.Event]:
        """All that is said of a job until its last word."""
        return self.hear_until(lambda event: isinstance(event, IS_LAST))

    def end(self) -> str:
        """Closes its stdin, and returns what it logged."""
        return self.child.communicate(timeout=60)[1].decode()


def _train(scratch: Path, job_id: str, source: Path | None = None, **fields: Any) -> orders.Train:
    return orders.Train(job_id=job_id, spec=jobs.spec(**fields), scratch=str(scratch), checkpoint=str(source) if source else None)


@pytest.fixture(scope="module")
def trainer() -> Iterator[Process]:
    """One warm process for the tests that leave it warm."""
    process = Process()
    assert isinstance(process.hear(), events.TrainerReady)
    yield process
    process.end()
    assert process.child.returncode == 0


def test_jobs_are_trained_one_after_another_in_the_same_process(trainer: Process, tmp_path: Path) -> None:
    trainer.tell(_train(tmp_path / "a", "a"), _train(tmp_path / "b", "b", seed=1))

    first, second = trainer.hear_out(), trainer.hear_out()

    for told in (first, second):
        types = [event.type for event in told if event.type != "progress"]
        assert [kind for kind in types if kind != "checkpoint_written"] == ["started", *["epoch_done"] * 3, "finished"]
        assert types.count("checkpoint_written") == 3
    assert first[-1] != second[-1]


def test_a_stopped_job_writes_its_checkpoint_and_goes_on_from_there_later(trainer: Process, tmp_path: Path) -> None:
    trainer.tell(_train(tmp_path / "first", "a", **ENDLESS))
    trainer.hear_until(lambda event: isinstance(event, events.EpochDone))
    trainer.tell(orders.Stop(job_id="a"))
    written, stopped = trainer.hear_out()[-2:]
    assert isinstance(written, events.CheckpointWritten)
    assert written.interim
    assert stopped == events.Stopped(step=written.step)

    trainer.tell(_train(tmp_path / "second", "a", tmp_path / "first" / written.folder, **ENDLESS))
    started = trainer.hear()
    trainer.tell(orders.Stop(job_id="a", save=False))
    again = trainer.hear_out()

    assert isinstance(started, events.Started)
    assert started.step == written.step
    assert not any(isinstance(event, events.CheckpointWritten) and event.interim for event in again)


def test_checkpoints_are_written_as_often_as_the_orders_share_of_the_time_allows(trainer: Process, tmp_path: Path) -> None:
    many = {"epochs": 60, "checkpoints": {"keep_last": 1, "monitor": "train.loss", "mode": "max"}}
    counts = []
    for job_id, share in (("seldom", 1e-6), ("often", 1.0)):
        trainer.tell(_train(tmp_path / job_id, job_id, **many).model_copy(update={"checkpoint_share": share}))
        counts.append(sum(isinstance(event, events.CheckpointWritten) for event in trainer.hear_out()))
    seldom, often = counts
    assert seldom <= 4  # the first, and at the end the last and the best
    assert often > seldom


def test_a_stop_that_comes_before_the_first_step_is_heard(trainer: Process, tmp_path: Path) -> None:
    trainer.tell(_train(tmp_path, "a", **ENDLESS), orders.Stop(job_id="a", save=False))

    told = trainer.hear_out()

    assert [event.type for event in told] == ["started", "stopped"]


def test_a_stop_for_an_unknown_job_is_answered_while_idle(trainer: Process) -> None:
    trainer.tell(orders.Stop(job_id="never heard of"))

    assert trainer.hear() == events.Stopped(step=0)


def test_a_stop_that_comes_after_the_last_word_says_nothing_of_the_job_that_follows(trainer: Process, tmp_path: Path) -> None:
    trainer.tell(_train(tmp_path / "a", "a"))
    trainer.hear_out()

    trainer.tell(orders.Stop(job_id="a"), _train(tmp_path / "b", "b"), orders.Stop(job_id="a"))

    assert isinstance(trainer.hear_out()[-1], events.Finished)


def test_a_failed_job_says_why_and_the_next_one_trains(trainer: Process, tmp_path: Path) -> None:
    bad = {"model": {"kind": "linear"}, "loss": {"kind": "half_mse"}, "optimizer": {"kind": "sgd", "lr": 10.0}, "epochs": 500}
    trainer.tell(_train(tmp_path / "a", "a", **bad, checkpoints=ENDLESS["checkpoints"]), _train(tmp_path / "b", "b"))

    failed = trainer.hear_out()[-1]

    assert isinstance(failed, events.Failed)
    assert (failed.code, failed.hint) == (FailureCode.DIVERGED, "try lr 1 in place of 10")
    assert f"at step {failed.step + 1}" in failed.message
    assert isinstance(trainer.hear_out()[-1], events.Finished)


def test_a_corrupt_checkpoint_is_a_failure_with_its_code(trainer: Process, tmp_path: Path) -> None:
    run = jobs.run(tmp_path / "first")
    source = tmp_path / "first" / checkpoint.write(run).folder
    (source / "model.safetensors").write_bytes(b"no")

    trainer.tell(_train(tmp_path / "second", "a", source))
    failed = trainer.hear_out()[-1]

    assert isinstance(failed, events.Failed)
    assert failed.code is FailureCode.ARTIFACT_CORRUPT


def test_an_order_that_cannot_be_read_is_refused_without_an_echo_of_it(trainer: Process) -> None:
    trainer.write(json.dumps({"order": "train", "job_id": "secret-1", "spec": {"epochs": "secret-2"}, "scratch": "x"}))

    failed = trainer.hear()

    assert isinstance(failed, events.Failed)
    assert failed.code is FailureCode.SPEC_INVALID
    assert "secret" not in events.to_line(failed)


def test_the_end_of_stdin_ends_the_process_in_mid_job_and_prints_never_reach_the_events(tmp_path: Path) -> None:
    noise = "import os, atexit, threading\nthreading.Timer(0, lambda: None)\n" + (
        "import worker.training.step as f\nold = f.take\n"
        "def loud(*a):\n    print('from print'); os.write(1, b'from fd 1')\n    return old(*a)\nf.take = loud"
    )
    process = Process(code=noise)
    assert isinstance(process.hear(), events.TrainerReady)
    process.tell(_train(tmp_path, "a", **ENDLESS))
    process.hear_until(lambda event: isinstance(event, events.EpochDone))

    logged = process.end()

    assert process.child.returncode == 0
    assert "from print" in logged
    assert "from fd 1" in logged


def test_a_trainer_whose_parent_is_not_the_one_that_started_it_exits_at_once() -> None:
    process = Process(RIDGELINE_PARENT_PID="1")

    assert process.child.stdout is not None
    assert process.child.stdout.read() == b""
    process.end()
    assert process.child.returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
@pytest.mark.timeout(60)
def test_a_trainer_dies_with_its_parent() -> None:
    # A shell-less parent that starts a trainer, says so and is killed.
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-m', 'worker.training'], stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\nprint('ready', flush=True)\ntime.sleep(600)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "RIDGELINE_PARENT_PID"}
    read, write = os.pipe()
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=write, env=environment)
    os.close(write)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"ready\n"

    parent.kill()
    parent.wait()

    # The trainer holds the other end of the pipe as its stderr: it ends when the trainer has.
    with os.fdopen(read) as pipe:
        pipe.read()


def test_a_resumed_jobs_thread_count_is_its_own_and_the_next_job_has_the_workers(trainer: Process, tmp_path: Path) -> None:
    run = jobs.run(tmp_path / "first")
    run.machine = run.machine.model_copy(update={"threads": 2})
    source = tmp_path / "first" / checkpoint.write(run).folder
    trainer.tell(_train(tmp_path / "a", "a", source), _train(tmp_path / "b", "b"))

    started = [event for event in [*trainer.hear_out(), *trainer.hear_out()] if isinstance(event, events.Started)]

    assert [event.machine.threads for event in started] == [2, 1]


def test_a_trainer_with_nothing_to_tell_for_long_gives_signs_of_life(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said: list[events.Event] = []
    inbox: wire.Inbox = SimpleQueue()
    now = [0.0]
    monkeypatch.setattr(serve, "monotonic", lambda: now[0])
    trainer = serve.Trainer(cast("wire.Voice", SimpleNamespace(say=said.append)), inbox)
    really = serve.fit

    def slowly(*arguments: Any) -> Iterator[Any]:
        for event in really(*arguments):
            now[0] += 4.0
            yield event

    monkeypatch.setattr(serve, "fit", slowly)
    data = jobs.TINY | {"train_rows": 3000}
    inbox.put(_train(tmp_path, "a", dataset=data, optimizer={"kind": "gd"}, batch_size="full", epochs=1))
    trainer.follow()

    types = [event.type for event in said]
    # Ten parts of a gradient and three of an evaluation at 4 s each: one sign in 12 s, and none beside other news.
    assert types[0] == "started"
    assert types.count("beat") >= 3
    assert all(event.step in {0, 1} for event in said if isinstance(event, events.Beat))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells whether a process waits for the other end of a pipe")
def test_a_trainer_that_hangs_in_a_call_of_the_system_says_where_and_can_still_be_killed(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    hang = f"import worker.training.step as s\ndef wait_for_a_disk(*_):\n    open({str(fifo)!r})\ns.take = wait_for_a_disk"
    # Not before it serves: its warming up takes steps too.
    process = Process(
        code=f"import worker.training.serve as v\nold = v._prepare\ndef late():\n    old()\n    exec({hang!r}, {{}})\nv._prepare = late"
    )
    assert isinstance(process.hear(), events.TrainerReady)
    process.tell(_train(tmp_path / "a", "a"))
    assert isinstance(process.hear(), events.Started)
    while not _sleeps(process.child.pid):
        time.sleep(0.01)

    process.child.send_signal(orders.DUMP_SIGNAL)
    assert process.child.stderr is not None
    dumped = ""
    while "wait_for_a_disk" not in dumped:
        dumped += process.child.stderr.readline().decode()
    alive = process.child.poll() is None
    process.child.kill()

    assert alive, "the signal only asks"
    assert process.child.wait() == -signal.SIGKILL
    process.end()


def _sleeps(pid: int) -> bool:
    """Whether the process waits for something."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DataInvalidError("a", "b"), FailureCode.DATA_INVALID),
        (MemoryError(), FailureCode.OUT_OF_MEMORY),
        (torch.OutOfMemoryError(), FailureCode.OUT_OF_MEMORY),
        (OSError(errno.ENOSPC, "full"), FailureCode.DISK_FULL),
        (OSError(errno.EDQUOT, "full"), FailureCode.DISK_FULL),
        (OSError(errno.EIO, "failed"), FailureCode.DEPENDENCY_DOWN),
        (OSError(errno.EACCES, "no"), FailureCode.DEPENDENCY_DOWN),
        (RuntimeError("a secret"), FailureCode.INTERNAL),
    ],
    ids=str,
)
def test_an_error_falls_in_its_class_and_an_unforeseen_one_keeps_its_words_to_the_log(error: Exception, code: FailureCode) -> None:
    failed = serve.failed(error, 7)

    assert (failed.code, failed.step) == (code, 7)
    assert "secret" not in failed.message + failed.hint


def test_a_trainer_whose_device_is_lost_ends_so_that_the_job_goes_on_in_another(tmp_path: Path) -> None:
    broken = (
        "from worker.training import build\ndef lost(*_):\n    raise RuntimeError('CUDA error: an illegal memory access')\nbuild.run = lost"
    )
    # The warm-up trains too; only what it is told of afterwards may be lost.
    process = Process(
        code=f"import worker.training.serve as serve\nwarm = serve._prepare\ndef prepare():\n    warm()\n    exec({broken!r})\nserve._prepare = prepare"
    )
    try:
        assert isinstance(process.hear(), events.TrainerReady)
        process.tell(_train(tmp_path, "a"))
        assert process.child.wait(timeout=60) == 1
    finally:
        process.child.kill()


def test_a_stop_is_answered_once_nothing_is_written_any_more(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said: list[events.Event] = []
    inbox: Any = SimpleQueue()
    voice = SimpleNamespace(say=lambda event: (said.append(event), writing.append(len(list(tmp_path.glob("*.tmp"))))))
    writing: list[int] = []
    put = checkpoint.put

    def slow(*given: Any) -> events.CheckpointWritten:
        (tmp_path / "slow.tmp").mkdir()
        time.sleep(0.3)
        (tmp_path / "slow.tmp").rmdir()
        return put(*given)

    monkeypatch.setattr(checkpoint, "put", slow)
    trainer = serve.Trainer(cast("Any", voice), inbox)
    order = _train(tmp_path, "a", **{**ENDLESS, "checkpoints": {"every_epochs": 1}})
    inbox.put(order)
    Thread(target=_stop_once_written_to, args=[tmp_path, inbox], daemon=True).start()
    trainer.follow()
    assert isinstance(said[-1], events.Stopped)
    assert writing[-1] == 0


def _stop_once_written_to(folder: Path, inbox: Any) -> None:
    while not (folder / "slow.tmp").exists():
        time.sleep(0.005)
    inbox.put(orders.Stop(job_id="a", save=False))


def test_the_machine_running_out_of_memory_is_told_apart() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50)

    assert serve.failed(caught.value, 0).code is FailureCode.OUT_OF_MEMORY

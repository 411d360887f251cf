"""The trainer child: started warm, spoken to in JSON lines, ended for certain."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from dataclasses import dataclass
from time import monotonic, sleep
from typing import IO, Final

from pydantic import ValidationError

from contract import events
from contract.settings import Settings
from worker import orders
from worker.orders import DUMP_SIGNAL

# The trainer gets no address and no password: it reads data, trains, and writes files.
_WITHHELD: Final = ("RIDGELINE_DATABASE_URL", "RIDGELINE_REDIS_URL", "RIDGELINE_ADMIN_KEY", "RIDGELINE_API_KEY", "AWS_")
_TAIL_LINES = 100
_DUMP_SECONDS = 1.0

TRAINER: Final = (sys.executable, "-m", "worker.training")


@dataclass(frozen=True, slots=True)
class Died:
    """The trainer is gone. `cause` says by which signal or exit code, and `tail` holds its last words."""

    cause: str
    tail: str


class Trainer:
    """One trainer process. What it says comes out of `heard`; the last thing heard is always `Died`."""

    def __init__(self, settings: Settings, command: tuple[str, ...] = TRAINER) -> None:
        """Starts the process and returns at once; it says TrainerReady when torch is imported.

        On Linux it dies with the *thread* that calls this, so that thread must live for as long as the trainer is wanted.
        """
        self.heard: queue.SimpleQueue[events.Event | Died] = queue.SimpleQueue()
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(settings),
            # A group of its own: whatever the trainer starts is ended with it.
            start_new_session=True,
        )
        self._stderr = threading.Thread(target=self._keep_tail, name="trainer-stderr", daemon=True)
        self._stderr.start()
        threading.Thread(target=self._listen, name="trainer-stdout", daemon=True).start()

    @property
    def pid(self) -> int:
        """Of its process, which leads a group of its own."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether its process has not ended; one that hangs is alive."""
        return self._process.poll() is None

    def tell(self, order: orders.Order) -> None:
        """Write an order to the trainer. One that is gone hears nothing; `Died` is in `heard` then."""
        if isinstance(order, orders.Train):
            self._tail.clear()  # what an earlier job left there explains nothing of this one's
        try:
            _stream(self._process.stdin).write(orders.to_line(order).encode() + b"\n")
            _stream(self._process.stdin).flush()
        except (BrokenPipeError, ValueError):
            return

    def dump(self) -> str:
        """Where each of the trainer's threads is at, as its fault handler writes it to its log; empty if it does not say."""
        self._tail.clear()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, DUMP_SIGNAL)
        deadline = monotonic() + _DUMP_SECONDS
        while monotonic() < deadline and self.is_alive:
            sleep(0.1)
        return "\n".join(self._tail)

    def kill(self) -> None:
        """End the trainer and all it started, now, and wait until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _listen(self) -> None:
        for line in _stream(self._process.stdout):
            try:
                self.heard.put(events.from_line(line))
            except ValidationError as error:
                self._tail.append(f"not an event: {line[:200]!r}: {error.error_count()} faults")
                self.kill()
        code = self._process.wait()
        self._stderr.join(timeout=2)
        self.heard.put(Died(_cause(code), "\n".join(self._tail)))

    def _keep_tail(self) -> None:
        for line in _stream(self._process.stderr):
            text = line.decode(errors="replace").rstrip()
            self._tail.append(text)
            sys.stderr.write(f"trainer {self._process.pid}: {text}\n")


def _environment(settings: Settings) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_WITHHELD)}
    kept |= {"RIDGELINE_PARENT_PID": str(os.getpid()), "RIDGELINE_DEVICE": settings.device}
    if settings.trainer_threads:
        threads = str(settings.trainer_threads)
        kept |= {"RIDGELINE_TRAINER_THREADS": threads, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    kept["RIDGELINE_CUDA_GRAPHS"] = "1" if settings.cuda_graphs else "0"
    if settings.numerics == "measured":
        kept["RIDGELINE_MEASURED"] = str(settings.scratch_folder.absolute() / "measured.json")
    if settings.data_folder:
        kept["RIDGELINE_DATA_FOLDER"] = str(settings.data_folder)
    return kept


def _cause(code: int) -> str:
    if code >= 0:
        return f"the trainer exited with code {code}"
    number = -code
    name = signal.Signals(number).name if number in {known.value for known in signal.Signals} else "unknown"
    hint = "; the machine may have run out of memory" if number == signal.SIGKILL else ""
    return f"the trainer was killed by signal {number} ({name}){hint}"


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream

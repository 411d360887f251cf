"""The whole of Ridgeline on this machine: which parts there are, in what order they start and stop, and when it is ready.

with Stack(Path("ridgeline-data"), port=0) as stack:
    Client(stack.url).submit(...)
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Self

from client import addresses, broker, parts, preparation, readiness
from client.errors import StackError
from client.folder import MARK, Lock
from client.parts import Part

_ROOT: Final = Path(__file__).resolve().parent.parent
_LOOK_SECONDS: Final = 0.1
_WORKER_STOP_SECONDS: Final = 40.0
"""Enough for a running job to reach a step boundary, write its checkpoint and give the job back."""
COMMANDS: Final = MappingProxyType({
    "api": (sys.executable, "-m", "service"),
    "worker": (sys.executable, "-m", "worker"),
})  # fmt: skip


def tell(line: str) -> None:
    """Notices go to stderr: stdout belongs to the one line that says the stack is ready."""
    print(f"ridgeline: {line}", file=sys.stderr, flush=True)


class Stack:
    """Broker, API and workers in one data folder, started together, restarted when they die, stopped in order.

    A RIDGELINE_DATABASE_URL or RIDGELINE_REDIS_URL in the environment is used in place of the embedded one. One thread starts
    the parts, looks after them and stops them; when this process is killed, however hard, the kernel ends them all.
    """

    def __init__(
        self, data_dir: Path, *, host: str = "127.0.0.1", port: int = 8000, workers: int = 1, device: str | None = None,
        ready_seconds: float = 120.0, worker_too: bool = True, say: Callable[[str], None] = tell,
        commands: Mapping[str, Sequence[str]] = COMMANDS, longest_wait_seconds: float = parts.LONGEST_WAIT_SECONDS,
    ) -> None:  # fmt: skip
        """Starts nothing yet. Without `worker_too`, `start` waits only until a job would be accepted: its worker warms up meanwhile. `port` 0 takes a free one. Raises StackError for what cannot work, with the remedy."""
        addresses.assert_allowed(host)
        self.data_dir = data_dir.resolve()
        self.host, self.port = host, port
        self.ready_seconds = ready_seconds
        self._worker_too = worker_too
        self.say = say
        self.is_stopping = False
        self._workers, self._device = workers, device
        self._commands = commands
        self._longest_wait_seconds = longest_wait_seconds
        self._lock = Lock(self.data_dir)
        self._broker: broker.Broker | None = None
        self._parts: list[list[Part]] = []
        """In groups that stop together, the first to stop first."""
        self._stop, self._hasten, self._ended = threading.Event(), threading.Event(), threading.Event()
        self._keeper: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._is_in_order = True
        """Whether no part was killed, or died: a worker that did may have left its job held and itself listed."""

    @property
    def url(self) -> str:
        """Where a client on this machine reaches the API."""
        return addresses.url(self.host, self.port)

    def start(self) -> None:
        """Start every part and return once a job would be taken and trained. Raises StackError; then nothing is left running."""
        in_order = self._lock.take()
        try:
            self.port = addresses.claim(self.host, self.port)
            self._parts = self._plan()
            self._keeper = threading.Thread(target=self._keep, args=(in_order,), name="ridgeline-keeper", daemon=True)
            self._keeper.start()
            if self._worker_too:
                self.say("starting; the first job can be taken once torch is loaded, in some ten seconds")
            readiness.wait(self.url, self.ready_seconds, self._assert_alive, self._tails, worker_too=self._worker_too)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the workers, then the API, then the broker; each has time to end well, unless `hasten` is called."""
        self.is_stopping = True
        self._lock.note_stopping()
        self._stop.set()
        self._await_end()
        self._lock.release(in_order=self._is_in_order)

    def hasten(self) -> None:
        """Kill what is still stopping. A running job goes on later from its last checkpoint."""
        self._hasten.set()

    def wait(self) -> None:
        """Return once the stack is stopped, or raise what ended it."""
        self._await_end()
        self._assert_alive()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _plan(self) -> list[list[Part]]:
        environment = self._environment()
        api = self._part("api", self._commands["api"], environment, stop_seconds=15.0)
        workers = [self._worker(index, environment) for index in range(1, self._workers + 1)]
        if not self._broker:
            return [workers, [api]]
        valkey = self._part("valkey", self._broker.command(), environment, stop_seconds=15.0)
        return [workers, [api], [valkey]]

    def _environment(self) -> dict[str, str]:
        """What the parts are told. The embedded addresses give way to the operator's; the address of the API does not."""
        given = dict(os.environ)
        if "RIDGELINE_REDIS_URL" not in given:
            self._broker = broker.embedded(self.data_dir)
            given["RIDGELINE_REDIS_URL"] = self._broker.url
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        defaults = {
            "RIDGELINE_DATABASE_URL": f"sqlite:///{self.data_dir}/ridgeline.db",
            "RIDGELINE_ARTIFACTS_FOLDER": str(self.data_dir / "artifacts"),
            "RIDGELINE_TRAINER_THREADS": str(max(1, cores // self._workers)),
        }
        own = {
            MARK: str(self.data_dir),
            "RIDGELINE_HOST": self.host,
            "RIDGELINE_PORT": str(self.port),
            # The parts run this very code, whatever lies in the folder we were started from.
            "PYTHONPATH": os.pathsep.join(filter(None, [str(_ROOT), given.get("PYTHONPATH")])),
            "PYTHONSAFEPATH": "1",
            "PYTHONUNBUFFERED": "1",
        }
        return defaults | given | own | ({"RIDGELINE_DEVICE": self._device} if self._device else {})

    def _worker(self, index: int, environment: dict[str, str]) -> Part:
        name = f"worker-{index}"
        own = environment | {"RIDGELINE_SCRATCH_FOLDER": str(self.data_dir / "scratch" / name)}
        return self._part(name, self._commands["worker"], own, stop_seconds=_WORKER_STOP_SECONDS)

    def _part(self, name: str, command: Sequence[str], environment: Mapping[str, str], *, stop_seconds: float) -> Part:
        wait = self._longest_wait_seconds
        return Part(name, [*command], self._log(name), environment=environment, stop_seconds=stop_seconds, longest_wait_seconds=wait)

    def _log(self, name: str) -> Path:
        return self.data_dir / "logs" / f"{name}.log"

    def _keep(self, in_order: bool) -> None:
        try:
            self._start_parts(in_order)
            while not self._stop.wait(_LOOK_SECONDS):
                for part in self._every():
                    if news := part.look_after():
                        self.say(news)
                    self._is_in_order &= not part.deaths
        except BaseException as error:
            self._failure = error
        finally:
            try:
                for group in self._parts:
                    self._stop_together(group)
                if self._broker:
                    self._broker.clear()
            finally:
                self._ended.set()

    def _start_parts(self, in_order: bool) -> None:
        for part in self._every():
            parts.rotate(part.log)
        if self._broker:
            self._broker.prepare()
            # It takes 20 ms, and a worker that finds no broker waits seconds before it looks again.
            self._parts[-1][0].start()
        preparation.prepare(self.data_dir, self._parts[0][0].environment["RIDGELINE_DATABASE_URL"], in_order=in_order)
        for part in self._every():
            if not part.is_running:
                part.start()

    def _stop_together(self, group: list[Part]) -> None:
        for part in group:
            part.terminate()
        deadline = time.monotonic() + max((part.stop_seconds for part in group), default=0.0)
        while any(part.is_running for part in group) and time.monotonic() < deadline and not self._hasten.is_set():
            time.sleep(_LOOK_SECONDS / 2)
        for part in group:
            self._is_in_order &= not part.is_running
            if part.is_running and not self._hasten.is_set():
                self.say(f"{part.name} did not end within {part.stop_seconds:g} s of SIGTERM and was killed; its log is {part.log}")
            part.kill()

    def _every(self) -> list[Part]:
        return [part for group in reversed(self._parts) for part in group]

    def _await_end(self) -> None:
        # Not join: a signal handler that raises during join marks the thread as ended in Python 3.11 (bpo-45274), and the next
        # join returns at once. In short waits: a signal close upon another is given to another thread, which does not wake this one to hear it.
        while self._keeper and not self._ended.wait(_LOOK_SECONDS):
            pass

    def _assert_alive(self) -> None:
        """Raises StackError where the stack cannot come to anything: a part that dies again and again, or a failed start."""
        if self._failure:
            raise self._failure
        for part in self._every():
            if part.deaths >= readiness.DEATHS_TO_GIVE_UP and not self.is_stopping:
                raise StackError(f"{part.name} died {part.deaths} times while starting{self._tails()}")

    def _tails(self) -> str:
        """The last lines of every part that died, or where the logs are if none did."""
        died = [part for part in self._every() if part.deaths]
        ends = "".join(f"\nthe end of {part.log}:\n{part.tail()}" for part in died)
        return ends or f"; the logs are in {self.data_dir / 'logs'}"

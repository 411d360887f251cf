"""Which servers a scenario starts: the whole of Ridgeline, its API alone, or a peer's, each in a folder that is thrown away."""

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Final

import httpx

from benchmarks import machine
from client import addresses, broker
from client.parts import Part
from client.stack import COMMANDS, Stack

_IDLE: Final = (sys.executable, "-c", "import signal; signal.pause()")
"""In place of a worker: what is submitted stays queued."""


@dataclass(frozen=True)
class Standing:
    """A stack that is up."""

    url: str
    folder: Path

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.folder}/ridgeline.db"

    @property
    def redis_url(self) -> str:
        return broker.embedded(self.folder).url

    def environment(self) -> dict[str, str]:
        """What one more worker of this stack is told."""
        own = {
            "RIDGELINE_DATABASE_URL": self.database_url,
            "RIDGELINE_REDIS_URL": self.redis_url,
            "RIDGELINE_ARTIFACTS_FOLDER": str(self.folder / "artifacts"),
            "RIDGELINE_SCRATCH_FOLDER": str(self.folder / "scratch"),
            "RIDGELINE_TRAINER_THREADS": str(machine.threads()),
        }
        return {**os.environ, **own}

    def api_pid(self) -> int:
        """Of the API's process. Raises LookupError where there is none."""
        return machine.child(" -m service ")


@contextmanager
def whole(workers: int = 1, worker: Sequence[str] = COMMANDS["worker"]) -> Iterator[Standing]:
    """Broker, API and workers, every worker warm; `worker` is run in place of Ridgeline's own command."""
    with _up(workers, MappingProxyType({**COMMANDS, "worker": (*worker,)}), worker_too=True) as standing:
        yield standing


@contextmanager
def api() -> Iterator[Standing]:
    """Broker and API, and nobody who trains."""
    with _up(1, MappingProxyType({**COMMANDS, "worker": _IDLE}), worker_too=False) as standing:
        yield standing


@contextmanager
def beside(standing: Standing, command: Sequence[str], name: str, environment: Mapping[str, str]) -> Iterator[Part]:
    """One more program, with its log in the stack's folder, killed at the end."""
    part = Part(name, [*command], standing.folder / "logs" / f"{name}.log", environment=environment, stop_seconds=5)
    part.start()
    try:
        yield part
    finally:
        part.kill()


@contextmanager
def bare_service(standing: Standing) -> Iterator[str]:
    """The bare endpoint on the stack's own broker, as uvicorn serves it by default; its address."""
    port = addresses.claim("127.0.0.1", 0)
    command = (sys.executable, "-m", "uvicorn", "benchmarks.peers.bare_service:app", "--port", str(port), "--no-access-log")
    with beside(standing, command, "bare", {**os.environ, "BROKER": standing.redis_url}):
        url = addresses.url("127.0.0.1", port)
        _await(url)
        yield url


@contextmanager
def _up(workers: int, commands: Mapping[str, Sequence[str]], *, worker_too: bool) -> Iterator[Standing]:
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        data_dir = Path(folder) / "data"
        with Stack(data_dir, port=0, workers=workers, commands=commands, worker_too=worker_too) as stack:
            yield Standing(stack.url, data_dir.resolve())


def _await(url: str, seconds: float = 60.0) -> None:
    """Return once something answers there. Raises httpx.ConnectError where nothing ever does."""
    end = time.monotonic() + seconds
    while True:
        try:
            httpx.get(url, trust_env=False)
            return
        except httpx.ConnectError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)

"""A real stack for tests: Valkey, API, Celery worker and trainer, started as a user starts them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import httpx

from tests import processes

ROOT: Final = Path(__file__).parents[1]
PROGRAM: Final = (sys.executable, "-m", "client", "up")
Json = dict[str, Any]
SMALL: Json = {
    "dataset": {"kind": "fake", "train_rows": 600, "test_rows": 100, "height": 12, "width": 12},
    "model": {"kind": "cnn", "channels": [8], "hidden": [16]},
    "optimizer": {"kind": "adam"},
    "penalties": [{"kind": "l1", "lambda": 1e-4}, {"kind": "l2", "lambda": 5e-4}],
    "epochs": 3,
}
"""A job of a second or so."""
LONG: Json = {**SMALL, "epochs": 2000}
"""A job that ends only because a test ends it."""


class Up:
    """A `ridgeline up` in a process of its own, and an HTTP client to it."""

    def __init__(self, folder: Path, *, program: Sequence[str] = PROGRAM, options: Sequence[str] = (), **settings: str) -> None:
        """Returns once the stack is ready. `options` are the command's own; `settings` are RIDGELINE_ variables."""
        self.folder = folder
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RIDGELINE_")}
        # Two stacks may train at once here: on shared cores, threads that wait for one another cost more than they bring.
        environment |= {"RIDGELINE_TRAINER_THREADS": "1", **settings}
        command = [*program, "--port", "0", "--data-dir", str(folder), *options]
        with folder.with_name(f"{folder.name}-up.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment, cwd=ROOT)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("ready http://"), f"{line!r}; stderr: {Path(log.name).read_text()}"
        self.url = line.split()[1]
        self.http = httpx.Client(base_url=self.url, timeout=30, trust_env=False)

    def submit(self, spec: Json) -> Json:
        reply = self.http.post("/v1/jobs", json=spec)
        assert reply.status_code == 201, reply.text
        return reply.json()

    def job(self, job_id: str) -> Json:
        return self.http.get(f"/v1/jobs/{job_id}").raise_for_status().json()

    def until(self, job_id: str, condition: Callable[[Json], bool], seconds: float = 90) -> Json:
        """The job once the condition holds; fails loudly if it never does."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            job = self.job(job_id)
            if condition(job):
                return job
            time.sleep(0.05)
        raise AssertionError(f"never came about: {json.dumps(job)[:2000]}")

    def ended(self, job_id: str) -> Json:
        return self.until(job_id, lambda job: job["status"] in {"succeeded", "failed", "cancelled"})

    def children(self) -> dict[int, str]:
        """Every process below `up`, by pid, with its command."""
        return processes.below(self.process.pid)

    def trainer(self) -> int:
        (pid,) = [pid for pid, command in self.children().items() if "worker.training" in command]
        return pid

    def stop(self) -> int:
        """End it as an operator does; the exit code."""
        self.http.close()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

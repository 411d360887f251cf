"""How soon a job that was just submitted takes its first training step: on a worker that waits, and on one that is only starting."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from benchmarks import figures, marked, stacks
from benchmarks.figures import Goal, Row
from benchmarks.scenarios import Size
from benchmarks.stacks import Standing
from client.errors import ApiError
from client.sdk import Client

TITLE = "From the submission of a job to the end of its first optimizer step."
NEEDS_STACK = True
_WARM = {Size.SMOKE: 2, Size.QUICK: 8, Size.FULL: 60}
_COLD = {Size.SMOKE: 1, Size.QUICK: 2, Size.FULL: 7}
_TUTORIAL: Final[dict[str, Any]] = {"dataset": {"kind": "builtin"}, "epochs": 1}
_FAKE: Final[dict[str, Any]] = {"dataset": {"kind": "fake"}, "epochs": 1}
_LONGEST_SECONDS: Final = 120.0


def run(size: Size) -> Iterator[Row]:
    """Seconds on a cold worker, from the start of its process; then, on the last of them, milliseconds for data that it has in memory."""
    with stacks.api() as standing, Client(standing.url) as client:
        cold = []
        for _ in range(_COLD[size] - 1):
            with _newborn(standing, client) as (_, seconds):
                cold.append(seconds)
        with _newborn(standing, client) as (marks, seconds):
            yield Row("cold worker", figures.spread([*cold, seconds]), "s", Goal("at most", 4))
            for name, spec in (("fake data", _FAKE), ("Fashion-MNIST", _TUTORIAL)):
                _warm(client, spec, marks)
                taken = [1000 * _warm(client, spec, marks) for _ in range(_WARM[size])]
                yield Row(f"warm worker, {name}", figures.spread(taken), "ms", Goal("at most", 100))


@contextmanager
def _newborn(standing: Standing, client: Client) -> Iterator[tuple[Path, float]]:
    """A worker with its marks, and how long after its start a job that waited for it took its first step. It waits for jobs after that."""
    marks = standing.folder / "marks"
    job_id = client.submit(_FAKE)["id"]
    began = time.time()
    with stacks.beside(standing, (sys.executable, "-m", "benchmarks.marked", str(marks)), "worker", standing.environment()):
        yield marks, _first_step(client, job_id, marks) - began


def _warm(client: Client, spec: dict[str, Any], marks: Path) -> float:
    """Seconds of one job on a worker that waits for it."""
    began = time.time()
    return _first_step(client, client.submit(spec)["id"], marks) - began


def _first_step(client: Client, job_id: str, marks: Path) -> float:
    """When it was taken. The job is not trained any further, and the worker waits for the next when this returns."""
    end = time.monotonic() + _LONGEST_SECONDS
    while not (at := marked.read(marks).get(job_id)):
        if time.monotonic() > end:
            raise TimeoutError(f"{job_id} took no step in {_LONGEST_SECONDS:g} s; it is {client.job(job_id)['status']}")
        time.sleep(0.02)
    with suppress(ApiError):  # a small one has ended meanwhile
        client.cancel(job_id)
    client.wait(job_id)
    # Ended is not yet idle.
    time.sleep(0.3)
    return at

"""How soon a job that was just submitted takes its first training step: on a worker that waits, and on one that is only starting."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from benchmarks import figures, marked, stacks
from benchmarks.figures import Goal, Row
from benchmarks.scenarios import Size
from client.sdk import Client

TITLE = "From the submission of a job to the end of its first optimizer step."
NEEDS_STACK = True
_WARM = {Size.SMOKE: 2, Size.QUICK: 12, Size.FULL: 60}
_COLD = {Size.SMOKE: 1, Size.QUICK: 2, Size.FULL: 7}
_TUTORIAL: Final[dict[str, Any]] = {"dataset": {"kind": "builtin"}, "epochs": 1}
_FAKE: Final[dict[str, Any]] = {"dataset": {"kind": "fake"}, "epochs": 1}


def run(size: Size) -> Iterator[Row]:
    """Milliseconds on a warm worker, for data that it has in memory; seconds on a cold one, from the start of its process."""
    with TemporaryDirectory() as folder, stacks.whole(worker=_worker(marks := Path(folder) / "marks")) as standing:
        for name, spec in (("fake data", _FAKE), ("Fashion-MNIST", _TUTORIAL)):
            _seconds(standing.url, spec, marks)
            taken = [1000 * _seconds(standing.url, spec, marks) for _ in range(_WARM[size])]
            yield Row(f"warm worker, {name}", figures.spread(taken), "ms", Goal("at most", 100))
    yield Row("cold worker", figures.spread([_cold() for _ in range(_COLD[size])]), "s", Goal("at most", 4))


def _seconds(url: str, spec: dict[str, Any], marks: Path) -> float:
    """Of one job on a worker that waits for it."""
    with Client(url) as client:
        began = time.time()
        job_id = client.submit(spec)["id"]
        client.wait(job_id)
        # Ended is not yet idle: the next job should find a worker that waits.
        time.sleep(0.3)
    return marked.read(marks)[job_id] - began


def _cold() -> float:
    """From the start of a worker's process to the first step of a job that waited for it."""
    with stacks.api() as standing, Client(standing.url) as client:
        marks = standing.folder / "marks"
        job_id = client.submit(_FAKE)["id"]
        began = time.time()
        with stacks.beside(standing, _worker(marks), "worker", standing.environment()):
            client.wait(job_id)
        return marked.read(marks)[job_id] - began


def _worker(marks: Path) -> tuple[str, ...]:
    return (sys.executable, "-m", "benchmarks.marked", str(marks))

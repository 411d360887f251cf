"""What an API process costs: how long its import takes, how much memory it holds, and that torch is no part of it."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks import figures, load, machine, stacks
from benchmarks.figures import Goal, Row
from benchmarks.scenarios import Size
from benchmarks.scenarios.submit import CONNECTIONS, SPEC

TITLE = "One API process: importing it, building the application, and its memory after some hundred requests."
NEEDS_STACK = True
_TIMES = {Size.SMOKE: 1, Size.QUICK: 3, Size.FULL: 15}
_REQUESTS = {Size.SMOKE: 32, Size.QUICK: 400, Size.FULL: 400}
_PROGRAM = "import time; began = time.perf_counter(); {}; print(time.perf_counter() - began)"


def run(size: Size) -> Iterator[Row]:
    """Seconds and 10^6 bytes; `mapped` counts the process's mapped files that are torch's, and should be 0."""
    for what, program, goal in (
        ("import service.app", "import service.app", Goal("at most", 1)),
        ("import and create_app()", "from service.app import create_app; create_app()", None),
    ):
        _seconds(program)
        yield Row(what, figures.spread([_seconds(program) for _ in range(_TIMES[size])]), "s", goal)
    with stacks.api() as standing:
        memory = machine.memory_mb(standing.api_pid())[0]
        asked = load.request("POST", "/v1/jobs", SPEC)
        asyncio.run(load.crowd(standing.url, lambda _: asked, _REQUESTS[size], CONNECTIONS, 201))
        worked = machine.memory_mb(standing.api_pid())[0]
        mapped = Path(f"/proc/{standing.api_pid()}/maps").read_text().count("/torch/")
    yield Row("resident memory, ready", figures.spread([memory]), "MB", Goal("at most", 150))
    yield Row(f"resident memory, after {_REQUESTS[size]} submissions", figures.spread([worked]), "MB", Goal("at most", 150))
    yield Row("mapped files of torch", figures.spread([float(mapped)]), "", Goal("at most", 0))


def _seconds(program: str) -> float:
    command = [sys.executable, "-c", _PROGRAM.format(program)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

"""What hostile clients cost the others in time, and the service in memory."""

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks import figures, hostile
from benchmarks.figures import Goal, Row
from benchmarks.hostile import Probe
from benchmarks.scenarios import Size

TITLE = "A page of jobs asked for again and again, beside two clients of each hostile kind and alone, in turn: the ratio of the 99th percentiles."
NEEDS_STACK = True
_CLIENTS: Final = 2
_SECONDS = {Size.SMOKE: 0.2, Size.QUICK: 0.7, Size.FULL: 5.0}
_ROUNDS = {Size.SMOKE: 1, Size.QUICK: 1, Size.FULL: 3}
_PAUSE: Final = 0.005
"""Seconds from an answer to the next request."""


def run(size: Size) -> Iterator[Row]:
    """A row for each kind of attack, with the CPU that one of them costs the API, and what the API's memory grew by in all."""
    with TemporaryDirectory() as folder, hostile.served(Path(folder), **hostile.LIMITS) as (pid, port):
        _waits(port, _SECONDS[size])
        before = hostile.resident(pid)
        for name in hostile.ATTACKS:
            yield _row(name, pid, port, size)
        grown = (hostile.resident(pid, "VmHWM") - before) / 1e6
    yield Row("most that memory grew", figures.spread([grown]), "MB", Goal("at most", 100))


def _row(name: str, pid: int, port: int, size: Size) -> Row:
    cost = _cost(name, pid, port, _SECONDS[size] / 2)
    alone, beside, attacks = [], [], 0
    for _ in range(_ROUNDS[size]):
        alone.append(figures.percentile(_waits(port, _SECONDS[size]), 0.99))
        with hostile.under_attack(name, port, _CLIENTS) as count:
            beside.append(figures.percentile(_waits(port, _SECONDS[size]), 0.99))
            attacks += count()
    told = {"ms alone": figures.spread(alone).median, "ms beside": figures.spread(beside).median, "attacks": attacks, "CPU ms of one": cost}
    return Row(name, figures.ratios(beside, alone), "x", Goal("at most", 2), told)


def _cost(name: str, pid: int, port: int, seconds: float) -> float:
    """Milliseconds of CPU that the API spends on one: the mean of one after the other, after a first that warms."""
    attack, _ = hostile.ATTACKS[name]
    attack(port)
    began, used, count = time.monotonic(), hostile.cpu_seconds(pid), 0
    while not count or time.monotonic() < began + seconds:
        attack(port)
        count += 1
    return 1000 * (hostile.cpu_seconds(pid) - used) / count


def _waits(port: int, seconds: float) -> list[float]:
    """Milliseconds until each reply was there."""
    probe, end, found = Probe(port), time.monotonic() + seconds, []
    while time.monotonic() < end:
        found.append(1000 * probe.ask()[1])
        time.sleep(_PAUSE)
    return found

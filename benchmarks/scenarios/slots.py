"""How many samples a second a machine trains in all: one worker with every core, or as many workers as cores with one each."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from benchmarks import figures, lessons, machine, stacks
from benchmarks.figures import Row
from benchmarks.scenarios import Size
from client.sdk import Client

TITLE = "As many jobs as cores: one after another on a worker with all the cores, or side by side on workers with one each."
NEEDS_STACK = True
_FULL_EPOCHS = 5
_DRAWN = {Size.SMOKE: 512, Size.QUICK: 2048}
"""Rows, where images are drawn instead of read."""
_ROUNDS = {Size.SMOKE: 1, Size.QUICK: 1, Size.FULL: 5}


def run(size: Size) -> Iterator[Row]:
    """Samples a second of all jobs together, and the ratio of the two ways."""
    jobs = max(2, machine.cores())
    dataset = {"kind": "fake", "train_rows": _DRAWN[size]} if size in _DRAWN else {"kind": "builtin"}
    spec = {"dataset": dataset, "optimizer": {"kind": "adam", "lr": lessons.LR}, "epochs": 1 if size in _DRAWN else _FULL_EPOCHS}
    speeds = {}
    for workers in (1, jobs):
        with stacks.whole(workers=workers) as standing, Client(standing.url) as client:
            _speed(client, {**spec, "epochs": 1}, jobs)
            speeds[workers] = [_speed(client, spec, jobs) for _ in range(_ROUNDS[size])]
        yield Row(f"{jobs} jobs, {workers} {'worker' if workers == 1 else 'workers'}", figures.spread(speeds[workers]), "samples/s")
    yield Row("side by side over one after another", figures.ratios(speeds[jobs], speeds[1]), "x")


def _speed(client: Client, spec: dict[str, Any], count: int) -> float:
    """Of all jobs, from the first submission to the last end."""
    jobs = [client.wait(job_id) for job_id in [client.submit(spec)["id"] for _ in range(count)]]
    results = [client.result(job["id"]) for job in jobs]
    began, ended = (pick(datetime.fromisoformat(job[name]) for job in jobs) for pick, name in ((min, "created_at"), (max, "finished_at")))
    return float(sum(one["data"]["train_rows"] * one["epochs"] for one in results) / (ended - began).total_seconds())

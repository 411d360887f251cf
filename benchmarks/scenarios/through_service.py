"""Samples a second through the whole service, validation and checkpoints included, beside the example's loop that has neither."""

from collections.abc import Iterator
from datetime import datetime
from statistics import median
from typing import Any

from benchmarks import figures, lessons, stacks
from benchmarks.figures import Goal, Row
from benchmarks.lessons import Outcome
from benchmarks.peers import example_loop
from benchmarks.scenarios import Size
from client.sdk import Client

TITLE = "A whole job, from its submission to its end, on a warm worker: rows trained a second of the job's whole life."
NEEDS_STACK = True
_FULL_EPOCHS = 5
_DRAWN = {Size.SMOKE: 512, Size.QUICK: 4096}
"""Rows, where images are drawn instead of read."""
_ROUNDS = {Size.SMOKE: 1, Size.QUICK: 2, Size.FULL: 5}
_OURS = "Ridgeline, whole service"


def run(size: Size) -> Iterator[Row]:
    """The service and the loop in turn; the loop trains a ninth more rows an epoch, as it holds none out."""
    lesson = lessons.fake(_DRAWN[size]) if size in _DRAWN else lessons.fashion(_FULL_EPOCHS)
    dataset = {"kind": "fake", "train_rows": _DRAWN[size]} if size in _DRAWN else {"kind": "builtin"}
    spec = {"dataset": dataset, "optimizer": {"kind": "adam", "lr": lessons.LR}, "epochs": lesson.epochs}
    found: dict[str, list[Outcome]] = {_OURS: [], example_loop.NAME: []}
    with stacks.whole() as standing, Client(standing.url) as client:
        _job(client, {**spec, "epochs": 1})
        example_loop.train(lessons.fake(128))
        for _ in range(_ROUNDS[size]):
            found[_OURS].append(_job(client, spec))
            found[example_loop.NAME].append(example_loop.train(lesson))
    for name, outcomes in found.items():
        speed = figures.spread([outcome.speed for outcome in outcomes])
        yield Row(name, speed, "samples/s", beside={"test accuracy": median(one.accuracy for one in outcomes)})
    mine, theirs = ([outcome.speed for outcome in outcomes] for outcomes in found.values())
    yield Row(f"{_OURS}, over {example_loop.NAME}", figures.ratios(mine, theirs), "x", Goal("at least", 5))


def _job(client: Client, spec: dict[str, Any]) -> Outcome:
    job = client.wait(client.submit(spec)["id"])
    seconds = (datetime.fromisoformat(job["finished_at"]) - datetime.fromisoformat(job["created_at"])).total_seconds()
    result = client.result(job["id"])
    return Outcome(result["data"]["train_rows"] * result["epochs"], seconds, result["metrics"]["test.accuracy"])

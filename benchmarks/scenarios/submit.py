"""How many jobs are taken in a second, each on disk before it is answered, beside an endpoint that hands them to Celery unchecked."""

import asyncio
from collections.abc import Iterator

from benchmarks import figures, load, stacks
from benchmarks.figures import Goal, Row
from benchmarks.load import Load
from benchmarks.scenarios import Size
from benchmarks.turns import turns

TITLE = "Submissions on 16 connections, one API process each: Ridgeline commits a job before it answers, the bare endpoint never does."
NEEDS_STACK = True
CONNECTIONS = 16
SPEC = {"optimizer": {"kind": "adam"}, "penalties": [{"kind": "l2", "lambda": 5e-4}], "epochs": 10}
_REQUESTS = {Size.SMOKE: 64, Size.QUICK: 600, Size.FULL: 4000}
_ROUNDS = {Size.SMOKE: 2, Size.QUICK: 3, Size.FULL: 9}
_OURS, _BARE = "Ridgeline", "bare FastAPI and Celery"


def run(size: Size) -> Iterator[Row]:
    """Requests a second of each, their ratio, and how long an answer takes."""
    asked = load.request("POST", "/v1/jobs", SPEC)
    with stacks.api() as standing, stacks.bare_service(standing) as bare:
        urls = {_OURS: standing.url, _BARE: bare}
        for url in urls.values():
            _taken(url, asked, 4 * CONNECTIONS)
        found: dict[str, list[Load]] = {name: [] for name in urls}
        for turn in turns(list(urls), _ROUNDS[size]):
            for name in turn:
                found[name].append(_taken(urls[name], asked, _REQUESTS[size]))
    speeds = {name: [one.per_second for one in loads] for name, loads in found.items()}
    for name, loads in found.items():
        yield Row(name, figures.spread(speeds[name]), "req/s", beside={"refused": sum(one.refused for one in loads)})
    yield Row(f"{_OURS} over {_BARE}", figures.ratios(speeds[_OURS], speeds[_BARE]), "x", Goal("at least", 1.3))
    for name, loads in found.items():
        goal = Goal("at most", 50) if name == _OURS else None
        yield Row(f"{name}, p50", figures.spread([one.percentile(0.5) for one in loads]), "ms")
        yield Row(f"{name}, p99", figures.spread([one.percentile(0.99) for one in loads]), "ms", goal)


def _taken(url: str, asked: bytes, requests: int) -> Load:
    made, _ = asyncio.run(load.crowd(url, lambda _: asked, requests, CONNECTIONS, 201))
    return made

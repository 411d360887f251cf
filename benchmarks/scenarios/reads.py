"""How long a job takes to read while jobs are read and submitted at a steady pace."""

import asyncio
import json
from collections.abc import Iterator

from benchmarks import figures, load, stacks
from benchmarks.figures import Goal, Row
from benchmarks.load import Load
from benchmarks.scenarios import Size
from benchmarks.scenarios.submit import SPEC
from benchmarks.stacks import Standing
from contract.store import Store, leases

TITLE = "200 reads of running jobs a second, every other one conditional and answered 304, beside 20 submissions a second; one API process."
NEEDS_STACK = True
_PER_SECOND, _SUBMITTED_PER_SECOND, _CONNECTIONS, _JOBS = 100, 20, 16, 50
_SECONDS = {Size.SMOKE: 1, Size.QUICK: 4, Size.FULL: 20}
_ROUNDS = {Size.SMOKE: 1, Size.QUICK: 2, Size.FULL: 5}


def run(size: Size) -> Iterator[Row]:
    """Each is timed from when it was due."""
    with stacks.api() as standing:
        asyncio.run(_round(standing, 0.5))
        rounds = [asyncio.run(_round(standing, _SECONDS[size])) for _ in range(_ROUNDS[size])]
    for index, name in enumerate(("GET a job", "GET a job, 304", "POST a job")):
        loads = [one[index] for one in rounds]
        goal = None if name.startswith("POST") else Goal("at most", 20)
        refused = {"refused": float(sum(one.refused for one in loads))}
        yield Row(f"{name}, p50", figures.spread([one.percentile(0.5) for one in loads]), "ms")
        yield Row(f"{name}, p99", figures.spread([one.percentile(0.99) for one in loads]), "ms", goal, refused)


async def _round(standing: Standing, seconds: float) -> tuple[Load, Load, Load]:
    """Whole reads, conditional reads, and submissions beside them."""
    url = standing.url
    paths = await _jobs(standing)
    whole = [load.request("GET", path) for path in paths]
    known = [load.request("GET", path, headers={"if-none-match": await _etag(url, path)}) for path in paths]
    new = load.request("POST", "/v1/jobs", SPEC)
    return await asyncio.gather(
        load.steady(url, lambda number: whole[number % _JOBS], _PER_SECOND, seconds, _CONNECTIONS, 200),
        load.steady(url, lambda number: known[number % _JOBS], _PER_SECOND, seconds, _CONNECTIONS, 304),
        load.steady(url, lambda _: new, _SUBMITTED_PER_SECOND, seconds, _CONNECTIONS, 201),
    )


async def _jobs(standing: Standing) -> list[str]:
    """Paths of jobs that a worker has taken up and that do not change meanwhile: a queued one is rung for again and again."""
    _, replies = await load.crowd(standing.url, lambda _: load.request("POST", "/v1/jobs", SPEC), _JOBS, _CONNECTIONS, 201)
    job_ids = [json.loads(reply.body)["id"] for reply in replies]
    store = Store(standing.database_url)
    for job_id in job_ids:
        leases.claim(store, "benchmark", "cpu", 3600, job_id)
    store.close()
    return [f"/v1/jobs/{job_id}" for job_id in job_ids]


async def _etag(url: str, path: str) -> str:
    _, (reply,) = await load.crowd(url, lambda _: load.request("GET", path), 1, 1, 200)
    return reply.headers["etag"]

"""A number that JSON cannot hold is one of three strings, wherever a reply can bear one."""

import json
import math
from typing import Any

import httpx
import pytest

from contract.store import leases
from tests.service.conftest import RESULT

pytestmark = pytest.mark.anyio

BAD = {"train.loss": math.nan, "train.objective": math.inf, "val.loss": -math.inf}
SAID = {"train.loss": "NaN", "train.objective": "Infinity", "val.loss": "-Infinity"}


@pytest.fixture(scope="module")
async def bad(standing: httpx.AsyncClient, standing_hands: Any, standing_job: str) -> str:
    """A job that succeeded with nothing but bad numbers."""
    lease = standing_hands.claim(standing_job)
    standing_hands.step(lease, 1, **BAD)
    standing_hands.epoch(lease, 1, **BAD)
    standing_hands.checkpoint(lease, 1, -math.inf)
    layers = [{**RESULT["layers"][0], "l1": math.inf, "l2": math.nan}]
    body = {**RESULT, "metrics": BAD, "best_metrics": BAD, "layers": layers, "timings": {"train": math.nan}, "samples_per_second": math.inf}
    leases.succeed(standing_hands.store, lease, {**body, "best": {"checkpoint_id": "c", "epoch": 1, "metric": "m", "value": math.nan}})
    return standing_job


def read(text: str) -> Any:
    """The document; a bare NaN or Infinity is none of JSON's."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} stands bare"))


@pytest.mark.parametrize(
    ("end", "accept", "where"),
    [
        ("", "*/*", lambda body: body["latest_metrics"]),
        ("/events", "*/*", lambda body: next(event for event in body["data"] if event["type"] == "epoch")["data"]["metrics"]),
        ("/metrics", "*/*", lambda body: body["data"][0]["values"]),
        ("/metrics?scope=epoch", "*/*", lambda body: body["data"][0]["values"]),
        ("/result", "*/*", lambda body: body["metrics"]),
        ("/result", "*/*", lambda body: body["best_metrics"]),
    ],
)
async def test_a_reply_in_json_says_it_in_a_string(standing: httpx.AsyncClient, bad: str, end: str, accept: str, where: Any) -> None:
    reply = await standing.get(f"/v1/jobs/{bad}{end}", headers={"Accept": accept})
    assert where(read(reply.text)) == SAID


async def test_lists_of_jobs_and_checkpoints_and_what_is_best_say_it_in_a_string(standing: httpx.AsyncClient, bad: str) -> None:
    for path in ("/v1/jobs", f"/v1/jobs/{bad}/checkpoints", f"/v1/jobs/{bad}/checkpoints/best"):
        assert '"-Infinity"' in json.dumps(read((await standing.get(path)).text))
    assert read((await standing.get(f"/v1/jobs/{bad}")).text)["best"]["value"] == "-Infinity"


async def test_a_result_says_it_in_a_string_at_every_depth(standing: httpx.AsyncClient, bad: str) -> None:
    result = read((await standing.get(f"/v1/jobs/{bad}/result")).text)
    assert (result["layers"][0]["l1"], result["layers"][0]["l2"], result["best"]["value"]) == ("Infinity", "NaN", "NaN")
    assert (result["timings"]["train"], result["samples_per_second"]) == ("NaN", "Infinity")


async def test_a_stream_says_it_in_a_string(standing: httpx.AsyncClient, bad: str) -> None:
    text = (await standing.get(f"/v1/jobs/{bad}/events", headers={"Accept": "text/event-stream"})).text
    said = [read(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data:")]
    assert next(event for event in said if event.get("type") == "epoch")["data"]["metrics"] == SAID


async def test_lines_and_tables_say_it_by_the_same_names(standing: httpx.AsyncClient, bad: str) -> None:
    lines = (await standing.get(f"/v1/jobs/{bad}/metrics", headers={"Accept": "application/x-ndjson"})).text
    assert all(read(line)["values"] == SAID for line in lines.splitlines())
    table = (await standing.get(f"/v1/jobs/{bad}/metrics", headers={"Accept": "text/csv"})).text
    assert all(row.endswith("NaN,Infinity,-Infinity") for row in table.splitlines()[1:])


async def test_a_comparison_says_it_in_a_string(standing: httpx.AsyncClient, bad: str) -> None:
    other = (await standing.post("/v1/jobs", json={"dataset": {"kind": "fake"}})).json()["id"]
    compared = read((await standing.get("/v1/compare", params={"ids": f"{bad},{other}", "names": [*SAID]})).text)
    assert {series["name"]: series["values"][bad] for series in compared["series"]} == {name: [said] for name, said in SAID.items()}
    result = compared["jobs"][0]["result"]
    assert (result["metrics"], result["best_metrics"]) == (SAID, SAID)
    assert (result["train_seconds"], result["samples_per_second"]) == ("NaN", "Infinity")

"""A job's numbers as a client reads them: chosen, thinned, and in three forms."""

import csv
import io
import json

import httpx
import pytest

from service import accept
from service.errors import NotAcceptableError

pytestmark = pytest.mark.anyio


async def test_metrics_can_be_chosen_by_name_scope_and_step(client: httpx.AsyncClient, hands, job_id: str) -> None:
    lease = hands.claim(job_id)
    for step in range(1, 10):
        hands.step(lease, step, **{"train.loss": 1.0 / step, "lr": 0.1})
    hands.epoch(lease, 1, **{"val.loss": 0.5})

    async def read(**params: object) -> list[tuple[int, str, dict[str, float]]]:
        page = (await client.get(f"/v1/jobs/{job_id}/metrics", params=params)).json()
        return [(point["step"], point["scope"], point["values"]) for point in page["data"]]

    assert await read(scope="epoch") == [(10, "epoch", {"val.loss": 0.5})]
    assert await read(names="val.loss") == [(10, "epoch", {"val.loss": 0.5})]
    assert await read(names="val.loss,lr", step_from=9) == [(9, "step", {"lr": 0.1}), (10, "epoch", {"val.loss": 0.5})]
    assert await read(names=["lr"], step_from=3, step_to=4) == [(3, "step", {"lr": 0.1}), (4, "step", {"lr": 0.1})]
    assert [step for step, *_ in await read(max_points=4)] == [1, 5, 9, 10]


@pytest.fixture
async def page(client: httpx.AsyncClient, hands, job_id: str) -> str:
    """The address of the numbers of a job that trained badly."""
    lease = hands.claim(job_id)
    hands.step(lease, 5, **{"train.loss": float("inf"), "lr": 0.1})
    hands.step(lease, 10, **{"train.loss": float("-inf")})
    hands.epoch(lease, 1, **{"val.loss": float("nan")})
    return f"/v1/jobs/{job_id}/metrics"


async def test_a_table_has_a_column_for_each_metric_and_a_row_for_each_point(client: httpx.AsyncClient, page: str) -> None:
    reply = await client.get(page, headers={"Accept": "text/csv"})
    rows = list(csv.DictReader(io.StringIO(reply.text)))
    assert reply.headers["content-type"].startswith("text/csv")
    assert reply.headers["vary"] == "Accept"
    assert [(row["step"], row["scope"], row["lr"], row["train.loss"], row["val.loss"]) for row in rows] == [
        ("5", "step", "0.1", "Infinity", ""),
        ("10", "step", "", "-Infinity", ""),
        ("10", "epoch", "", "", "NaN"),
    ]


async def test_lines_hold_the_points_of_the_page(client: httpx.AsyncClient, page: str) -> None:
    reply = await client.get(page, headers={"Accept": "application/x-ndjson"})
    assert reply.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in reply.text.splitlines()] == (await client.get(page)).json()["data"]


async def test_a_series_without_a_point_is_a_table_without_a_row(client: httpx.AsyncClient, job_id: str) -> None:
    page = f"/v1/jobs/{job_id}/metrics"
    assert (await client.get(page, headers={"Accept": "text/csv"})).text == "step,scope,epoch,at\r\n"
    assert (await client.get(page, headers={"Accept": "application/x-ndjson"})).text == ""


async def test_a_form_that_there_is_not_is_a_406_that_names_those_there_are(client: httpx.AsyncClient, page: str) -> None:
    reply = await client.get(page, headers={"Accept": "image/png"})
    assert (reply.status_code, reply.json()["code"]) == (406, "not_acceptable")
    assert "text/csv" in reply.json()["detail"]


@pytest.mark.parametrize(
    ("header", "form"),
    [
        (None, "a/json"),
        ("", "a/json"),
        ("*/*", "a/json"),
        ("text/csv", "text/csv"),
        ("TEXT/CSV; charset=utf-8", "text/csv"),
        ("text/html, */*;q=0.8", "a/json"),
        ("a/json;q=0.5, text/csv", "text/csv"),
        ("a/json, text/*;q=0.9", "a/json"),
        ("a/json;q=0, */*", "text/csv"),
        ("text/csv;q=0.1, text/*;q=0, a/*;q=0.05", "text/csv"),
        ("nonsense", "a/json"),
        (",;=" * 5000, "a/json"),
    ],
)
def test_the_form_that_is_liked_best_is_sent(header: str | None, form: str) -> None:
    assert accept.chosen(header, ["a/json", "text/csv"]) == form


@pytest.mark.parametrize("header", ["image/*", "a/json;q=0", "*/*;q=0.0"])
def test_a_header_that_likes_nothing_of_ours_is_refused(header: str) -> None:
    with pytest.raises(NotAcceptableError):
        accept.chosen(header, ["a/json"])

"""The description that is kept in docs is the one that is served, and takes nothing away from the one that was released."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service import published
from tests.service import breaking

Json = dict[str, Any]
DOCS = Path(__file__).parents[2] / "docs"
RELEASED: Json = json.loads((DOCS / "openapi.released.json").read_text("utf-8"))


def test_the_description_in_docs_is_the_one_that_is_served() -> None:
    assert published.text() == (DOCS / "openapi.json").read_text("utf-8"), "run scripts/openapi and commit docs/openapi.json"


def test_nothing_that_was_released_is_taken_away() -> None:
    assert breaking.changes(RELEASED, json.loads(published.text())) == []


def operation(document: Json, name: str) -> Json:
    return next(found for item in document["paths"].values() for found in item.values() if found["operationId"] == name)


def schema(document: Json, name: str) -> Json:
    return document["components"]["schemas"][name]  # type: ignore[no-any-return]


BREAKS: dict[str, tuple[Callable[[Json], Any], str]] = {
    "a path": (lambda new: new["paths"].pop("/v1/jobs"), "GET /v1/jobs: is gone"),
    "an operation": (lambda new: new["paths"]["/v1/jobs"].pop("post"), "POST /v1/jobs: is gone"),
    "a name": (
        lambda new: operation(new, "get_job").update(operationId="read_job"),
        "GET /v1/jobs/{job_id}: is called read_job, was get_job",
    ),
    "a status": (lambda new: operation(new, "cancel_job")["responses"].pop("202"), "POST /v1/jobs/{job_id}/cancel: 202 is gone"),
    "a parameter": (lambda new: operation(new, "list_jobs")["parameters"].pop(0), "GET /v1/jobs: parameter limit is gone"),
    "a required parameter": (
        lambda new: operation(new, "list_jobs")["parameters"][0].update(required=True),
        "GET /v1/jobs: parameter limit is newly required",
    ),
    "a required body": (
        lambda new: operation(new, "retry_job")["requestBody"].update(required=True),
        "POST /v1/jobs/{job_id}/retry: a body is newly required",
    ),
    "a field of a spec": (lambda new: schema(new, "JobSpec")["properties"].pop("seed"), "POST /v1/jobs body: field seed is gone"),
    "a required field": (
        lambda new: schema(new, "JobSpec").update(required=["epochs"]),
        "POST /v1/jobs body: field epochs is newly required",
    ),
    "a kind": (lambda new: schema(new, "AdamW")["properties"]["kind"].update(const="adam_w"), "no longer takes kind adamw"),
    "a value": (lambda new: schema(new, "JobSpec")["properties"]["device"]["enum"].remove("cuda"), "no longer takes the value cuda"),
    "a bound": (lambda new: schema(new, "JobSpec")["properties"]["epochs"].update(maximum=100), "maximum is 100, was 10000"),
    "a field of a reply": (lambda new: schema(new, "Job")["properties"].pop("attempt"), "field attempt is gone"),
    "a type in a reply": (lambda new: schema(new, "Job")["properties"]["attempt"].update(type="string"), ".attempt: may be string now"),
    "a field always there": (lambda new: schema(new, "Job")["required"].remove("attempt"), "field attempt is no longer always there"),
    "a header": (lambda new: operation(new, "submit_job")["responses"]["201"]["headers"].pop("Location"), "201: header Location is gone"),
    "a media type": (
        lambda new: operation(new, "list_events")["responses"]["200"]["content"].pop("text/event-stream"),
        "200: text/event-stream is gone",
    ),
}


@pytest.mark.parametrize("what", BREAKS)
def test_what_is_taken_away_is_noticed(what: str) -> None:
    spoil, told = BREAKS[what]
    new = copy.deepcopy(RELEASED)
    spoil(new)
    assert any(told in line for line in breaking.changes(RELEASED, new)), breaking.changes(RELEASED, new)


def test_what_is_added_breaks_nobody() -> None:
    new = copy.deepcopy(RELEASED)
    new["paths"]["/v1/new"] = {"get": {"operationId": "get_new", "responses": {"200": {"description": "New."}}}}
    schema(new, "Job")["properties"]["new"] = {"type": "string"}
    schema(new, "Job")["required"].append("new")
    schema(new, "JobSpec")["properties"]["new"] = {"type": "string", "default": ""}
    schema(new, "JobState")["enum"].append("dreaming")
    operation(new, "list_jobs")["parameters"].append({"name": "new", "in": "query", "schema": {"type": "string"}})
    operation(new, "list_jobs")["responses"]["429"] = {"description": "Too many."}
    assert breaking.changes(RELEASED, new) == []

"""A mistake in a query is told with its remedy on every route, and never passed over."""

import re
from typing import Annotated

import httpx
import pytest
from fastapi import Depends, Request
from fastapi.routing import APIRoute

from service import parameters
from service.illustration import operations
from tests.service.description import document

pytestmark = pytest.mark.anyio

IDS = {"job_id": "job_" + "0" * 26, "name": "best", "file": "model.safetensors", "plot": "loss", "format": "png"}
DOCUMENT = document()
GETS = sorted(path for path, item in DOCUMENT["paths"].items() if "get" in item and path.startswith("/v1/"))


def named(path: str) -> str:
    """The path with ids in it: those that it needs, of no thing that is there."""
    return re.sub(r"\{(\w+)\}", lambda found: IDS.get(found[1], "x"), path)


async def faults(client: httpx.AsyncClient, path: str) -> dict[str, str]:
    reply = await client.get(path)
    assert reply.status_code == 422, reply.text
    return {fault["pointer"]: fault["message"] for fault in reply.json()["errors"]}


@pytest.mark.parametrize("path", GETS)
async def test_an_unknown_parameter_is_refused_on_every_route(standing: httpx.AsyncClient, path: str) -> None:
    told = await faults(standing, f"{named(path)}?no_such_thing_at_all=1")
    assert told["/query/no_such_thing_at_all"].startswith("there is no such parameter")


@pytest.mark.parametrize(
    "path", [path for path in GETS if any(each["in"] == "query" for each in DOCUMENT["paths"][path]["get"].get("parameters", []))]
)
async def test_every_parameter_that_is_described_is_known(standing: httpx.AsyncClient, path: str) -> None:
    described = [each["name"] for each in DOCUMENT["paths"][path]["get"]["parameters"] if each["in"] == "query"]
    reply = await standing.get(named(path), params=dict.fromkeys(described, "1"))
    assert "there is no such parameter" not in reply.text


async def test_no_request_waits_until_the_api_has_described_itself(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/jobs?limit=1")).status_code == 200
    assert client._transport.app.openapi_schema is None  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", ["/healthz", "/metrics"])
async def test_a_probe_may_add_what_it_likes(standing: httpx.AsyncClient, path: str) -> None:
    assert (await standing.get(f"{path}?t=1")).status_code == 200


async def test_the_name_that_was_meant_is_told(standing: httpx.AsyncClient) -> None:
    assert (await faults(standing, "/v1/jobs?limitt=1"))["/query/limitt"] == "there is no such parameter; did you mean 'limit'?"
    assert "those here are limit, " in (await faults(standing, "/v1/jobs?zzzzz=1"))["/query/zzzzz"]
    assert (await faults(standing, "/v1/version?x=1"))["/query/x"] == "there is no such parameter; this page knows none"


async def test_the_value_that_was_meant_is_told_and_what_was_sent_is_not(standing: httpx.AsyncClient) -> None:
    (message,) = (await faults(standing, "/v1/jobs?status=Runing")).values()
    assert message.endswith("or 'cancelled'; did you mean 'running'?")
    assert "Runing" not in message


async def test_the_value_that_was_meant_in_a_spec_is_told(standing: httpx.AsyncClient) -> None:
    reply = await standing.post("/v1/jobs/validate", json={"device": "CUDA"})
    assert reply.json()["errors"][0]["message"] == "should be 'auto', 'cpu' or 'cuda'; did you mean 'cuda'?"


async def test_every_operation_of_v1_says_that_it_may_answer_422() -> None:
    silent = [found["operationId"] for path, found in operations(DOCUMENT) if path.startswith("/v1/") and "422" not in found["responses"]]
    assert silent == []


def test_a_parameter_that_a_dependency_of_a_route_takes_is_known() -> None:
    def sized(size: int = 1) -> int:
        return size

    def endpoint(name: str, size: Annotated[int, Depends(sized)]) -> None: ...

    request = Request({"type": "http", "route": APIRoute("/v1/things", endpoint)})
    assert parameters.known(request) == ["name", "size"]

"""Every error is a Problem: each class of ours, each route of the API, and the fault that nobody foresaw."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

import service.app
from contract.errors import RidgelineError
from contract.settings import Settings
from contract.store import Store
from service import access, errors, problems
from service.app import create_app
from tests.service.description import document

pytestmark = pytest.mark.anyio

UNKNOWN = "job_" + "0" * 26
FIELDS = {"type", "title", "status", "code", "detail", "instance", "request_id", "errors"}


def subclasses(root: type) -> Iterator[type]:
    for child in root.__subclasses__():
        yield child
        yield from subclasses(child)


@cache
def operations() -> list[tuple[str, str]]:
    return [(method.upper(), path) for path, methods in document()["paths"].items() for method in methods]


def is_problem(reply: httpx.Response, *, status: int) -> bool:
    body = reply.json()
    assert reply.headers["content-type"] == problems.MEDIA_TYPE
    assert set(body) - {"message"} == FIELDS
    # OpenAI's clients show nothing else.
    assert body.get("message") == (body["detail"] if reply.request.url.path.startswith("/v1/fine_tuning/") else None)
    assert body["request_id"] == reply.headers["x-request-id"]
    assert body["type"].endswith(body["code"])
    return bool(reply.status_code == body["status"] == status)


# A worker's own errors, which another test may have loaded, end a job and never a request.
KINDS = [kind for kind in subclasses(RidgelineError) if not kind.__module__.startswith("worker")]


@pytest.mark.parametrize("kind", sorted(KINDS, key=lambda kind: kind.__name__))
def test_every_error_class_has_a_status_of_its_own_and_a_code(kind: type[RidgelineError]) -> None:
    assert kind in errors.STATUS
    assert kind.code


@pytest.mark.parametrize(("method", "path"), [op for op in operations() if "{job_id}" in op[1]])
@pytest.mark.parametrize("job_id", [UNKNOWN, "x", "job_", UNKNOWN.upper(), "..", "%00", "%2e%2e", "%ff", "é", "a" * 3000, "%0a", "'--"])
async def test_an_id_that_is_not_ours_is_a_404_on_every_route(standing: httpx.AsyncClient, method: str, path: str, job_id: str) -> None:
    named = path.format(job_id=job_id, name="best", file="model.safetensors", plot="loss", format="png")
    reply = await standing.request(method, named)
    if method == "HEAD":
        assert reply.status_code == 404
    else:
        assert is_problem(reply, status=404)


@pytest.mark.parametrize("job_id", ["x", "%00", "é", "a" * 3000, UNKNOWN.upper(), UNKNOWN + "%0a"])
async def test_an_id_of_no_form_of_ours_reaches_no_database_and_is_not_repeated(standing: httpx.AsyncClient, job_id: str) -> None:
    reply = await standing.get(f"/v1/jobs/{job_id}")
    assert reply.json()["detail"] == "there is no such job"


@pytest.mark.parametrize("name", ["ckpt_" + "0" * 26, "worst", "%00", "best%00", "a" * 3000])
@pytest.mark.parametrize("path", ["", "/files/model.safetensors", "/files/%00", "/files/..%2f..%2fetc"])
async def test_a_checkpoint_that_is_not_there_is_a_404(standing: httpx.AsyncClient, standing_job: str, name: str, path: str) -> None:
    assert is_problem(await standing.get(f"/v1/jobs/{standing_job}/checkpoints/{name}{path}"), status=404)


@pytest.mark.parametrize("path", ["/nope", "/v1", "/v1/jobs/", "/v1/jobs/%00/x", "/static-offline-docs/nope", "/static-offline-docs/%00"])
async def test_a_page_that_is_not_there_is_a_problem_too(standing: httpx.AsyncClient, path: str) -> None:
    assert is_problem(await standing.get(path), status=404)


@pytest.mark.parametrize("path", sorted({path for _, path in operations()}))
async def test_a_method_that_a_path_does_not_know_is_told_those_it_does(standing: httpx.AsyncClient, path: str) -> None:
    reply = await standing.request("PROPFIND", path)
    assert is_problem(reply, status=405)
    known = {method for method, described in operations() if described == path}
    assert set(reply.headers["allow"].split(", ")) == (known | {"HEAD"} if "GET" in known else known)


async def test_a_database_that_is_not_ready_is_a_503_that_asks_for_another_try(settings: Settings, serve: Any) -> None:
    async with serve(create_app(settings)) as client:
        for method, path in [("GET", "/v1/jobs"), ("GET", f"/v1/jobs/{UNKNOWN}"), ("POST", "/v1/jobs"), ("GET", "/v1/workers")]:
            reply = await client.request(method, path, **({"json": {}} if method == "POST" else {}))
            assert is_problem(reply, status=503)
            assert int(reply.headers["retry-after"]) > 0
            assert "sqlite" not in reply.text
            assert "no such table" not in reply.text


async def test_a_fault_of_ours_shows_nothing_of_the_inside(
    sqlite_store: Store,
    settings: Settings,
    serve: Any,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app: FastAPI = create_app(settings)
    monkeypatch.setitem(access.NEEDED, "/boom", access.PUBLIC)

    @app.get("/boom")
    def boom() -> None:
        raise RuntimeError("the secret is 42")

    async with serve(app) as client:
        reply = await client.get("/boom", headers={"X-Request-Id": "mine-1"})
    assert is_problem(reply, status=500)
    assert "42" not in reply.text
    assert "RuntimeError" not in reply.text
    logged = capsys.readouterr().out + caplog.text
    assert "the secret is 42" in logged
    assert "mine-1" in logged


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-1_Z", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), ("", False), ("é", False)]
)
async def test_every_reply_bears_a_request_id_the_clients_own_if_it_is_plain(standing: httpx.AsyncClient, given: str, kept: bool) -> None:
    for path in ("/healthz", "/nope", "/v1/jobs?limit=0"):
        reply = await standing.get(path, headers=[(b"X-Request-Id", given.encode())])
        assert (reply.headers["x-request-id"] == given) is kept
        assert reply.headers["x-request-id"]


def test_the_module_offers_an_application_without_opening_anything() -> None:
    assert not hasattr(service.app.app.state, "held")

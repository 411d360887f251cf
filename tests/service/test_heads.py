"""HEAD is answered wherever GET is: the same status and the same headers, and not a byte of a body."""

import re
from typing import Any

import anyio
import pytest
from fastapi import FastAPI

from contract.artifacts import LocalFolder
from contract.settings import Settings
from contract.store import Store
from service import access
from service.app import create_app
from tests.service.description import document
from tests.service.guarded import Guarded
from tests.service.test_access import MAKERS
from tests.service.test_connections import connected, listening

pytestmark = pytest.mark.anyio

READS = sorted(path for path, methods in document()["paths"].items() if "get" in methods)
PAGES = ["/", "/docs", "/ui/app.js", "/openapi.json", "/static-offline-docs/swagger-ui.css", "/nowhere"]
FOLLOWED = {"Accept": "text/event-stream"}


@pytest.fixture(scope="module")
async def ids(service: Guarded) -> dict[str, Any]:
    """Something that is there for each path parameter of a route that can be read."""
    made: dict[str, Any] = {}
    needed = {parameter for path in READS for parameter in re.findall(r"\{(\w+)\}", path)}
    for parameter, maker in MAKERS.items():
        if parameter in needed:
            made[parameter] = await maker(service, made)
    return made


def comparable(headers: Any) -> dict[str, str]:
    """Those that two requests for the same have in common."""
    return {name: value for name, value in headers.items() if name not in {"x-request-id", "ratelimit"}}


@pytest.mark.parametrize("path", [*READS, *PAGES])
async def test_head_tells_what_get_would(service: Guarded, ids: dict[str, Any], path: str) -> None:
    named = path.format(**ids) + (f"?ids={ids['job_id']},{await another(service)}" if path == "/v1/compare" else "")
    got = await service.as_("b", "GET", named)
    headed = await service.as_("b", "HEAD", named)
    assert got.status_code in ({404} if path == "/nowhere" else {200, 503})
    told, expected = comparable(headed.headers), comparable(got.headers)
    if path in {"/metrics", "/readyz", "/v1/queue"}:  # what they say is another thing each time
        told["content-length"] = expected["content-length"]
    assert (headed.status_code, told) == (got.status_code, expected)


async def another(service: Guarded) -> str:
    return str((await service.as_("b", "POST", "/v1/jobs", json={"dataset": {"kind": "fake"}})).json()["id"])


@pytest.mark.parametrize("path", ["/healthz", "/v1/jobs", "/docs", "/nowhere", "/v1/jobs/{job_id}/metrics"])
@pytest.mark.parametrize("accept", ["*/*", "text/csv, */*"])
async def test_not_a_byte_of_a_body_leaves_the_application(client: Any, job_id: str, path: str, accept: str) -> None:
    """Asked of the application itself: a server, and a client's library, would hide it."""
    _, body = await asked(client._transport.app, path.format(job_id=job_id), {"accept": accept})
    assert body == b""


async def asked(app: Any, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
    """Status and body that the application sends to a HEAD."""
    told: list[Any] = []

    async def receive() -> Any:
        await anyio.sleep_forever()

    async def send(message: Any) -> None:
        told.append(message)

    sent = [(name.lower().encode(), value.encode()) for name, value in {"host": "localhost", **headers}.items()]
    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1", "method": "HEAD", "path": path,
        "raw_path": path.encode(), "query_string": b"", "headers": sent, "scheme": "http", "root_path": "",
    }  # fmt: skip
    await app(scope, receive, send)
    start, *rest = told
    assert not rest[-1].get("more_body")
    return start["status"], b"".join(message["body"] for message in rest)


async def test_a_stream_tells_its_headers_and_is_over(client: Any, job_id: str) -> None:
    """Of a job that waits, whose stream would never end."""
    with anyio.fail_after(60):
        headed = await client.head(f"/v1/jobs/{job_id}/events", headers=FOLLOWED)
    assert (headed.status_code, headed.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert (await client.get("/metrics")).text.count("ridgeline_event_streams_open 0.0") == 1


async def test_a_part_of_a_file_is_asked_of_get_alone(client: Any) -> None:
    part = {"Range": "bytes=0-3"}
    file = "/static-offline-docs/swagger-ui.css"
    assert (await client.get(file, headers=part)).status_code == 206
    assert (await client.head(file, headers=part)).status_code == 200


async def test_the_head_of_a_checkpoints_file_opens_no_file(client: Any, hands: Any, job_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hands.checkpoint(hands.claim(job_id), 1, 0.5)
    monkeypatch.delattr(LocalFolder, "read")
    [checkpoint] = (await client.get(f"/v1/jobs/{job_id}/checkpoints")).json()["data"]
    href = checkpoint["files"][0]["href"]
    assert (await client.head(href)).status_code == 200
    assert (await client.get(href)).status_code == 500


@pytest.mark.parametrize("path", ["/v1/jobs/validate", "/v1/jobs/{job_id}/cancel", "/v1/webhooks/{webhook_id}/test"])
async def test_where_there_is_nothing_to_get_head_is_told_what_there_is(standing: Any, path: str) -> None:
    named = path.replace("{", "").replace("}", "")
    got, headed = await standing.get(named), await standing.head(named)
    assert (headed.status_code, headed.headers.get("allow")) == (got.status_code, got.headers.get("allow"))
    assert path == "/v1/jobs/validate" or headed.headers["allow"] == "POST"


async def test_a_head_is_counted_under_its_own_name_and_its_own_route(client: Any, job_id: str) -> None:
    await client.head(f"/v1/jobs/{job_id}")
    counted = (await client.get("/metrics")).text
    assert 'ridgeline_http_requests_total{method="HEAD",operation="get_job",status="2xx"} 1.0' in counted


async def test_a_head_that_meets_a_fault_of_ours_is_a_head_still(
    sqlite_store: Store, settings: Settings, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    app: FastAPI = create_app(settings)
    monkeypatch.setitem(access.NEEDED, "/boom", access.PUBLIC)
    app.add_api_route("/boom", lambda: 1 / 0)
    async with serve(app) as client:
        assert (await client.head("/boom")).status_code == 500
        assert 'ridgeline_http_requests_total{method="HEAD",operation="none",status="5xx"} 1.0' in (await client.get("/metrics")).text


async def test_on_a_connection_what_follows_a_head_is_the_next_reply(settings: Settings, sqlite_store: Store) -> None:
    async with listening(settings) as port, connected(port) as wire:
        for path in ("/healthz", "/v1/jobs", "/nowhere", "/openapi.json"):
            await wire.send(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            status, headers = await wire.head()
            assert (status, int(headers["content-length"]) > 0) == (404 if path == "/nowhere" else 200, True)
        await wire.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await wire.reply())[2] == {"status": "ok"}

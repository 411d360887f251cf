"""Nothing that a client sends is a fault of ours: each of these is refused with a Problem, and none repeats what was sent."""

import json
import threading
from typing import Any

import httpx
import pytest

from service.body import parse
from service.errors import MalformedBodyError

pytestmark = pytest.mark.anyio

JSON = {"Content-Type": "application/json"}
SECRET = "s3cr3t"
BODIES = {
    "nothing": b"",
    "blank": b" \n ",
    "half": b'{"epochs":',
    "two documents": b"{}{}",
    "a comment": b"{/* */}",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "not UTF-8": b'{"name":"\xff\xfe"}',
    "UTF-16": "{}".encode("utf-16"),
    "a list": b"[]",
    "a list of jobs": b"[{}]",
    "a number": b"1",
    "a string": b'"{}"',
    "null": b"null",
    "true": b"true",
    "NaN": b'{"epochs": NaN, "optimizer": {"kind": "adam", "lr": NaN}}',
    "Infinity": b'{"penalties": [{"kind": "l2", "lambda": Infinity}]}',
    "-Infinity": b'{"seed": -Infinity}',
    "a float beyond all": b'{"optimizer": {"kind": "adam", "lr": 1e999}}',
    "a vast integer": b'{"epochs": 1' + b"0" * 5000 + b"}",
    "a vast integer for a float": b'{"optimizer": {"kind": "adam", "lr": 1' + b"0" * 5000 + b"}}",
    "a vast batch": b'{"batch_size": 1' + b"0" * 5000 + b"}",
    "deep lists": b"[" * 100_000,
    "deep lists, closed": b"[" * 5000 + b"]" * 5000,
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "a deep name": b'{"name":' + b"[" * 400 + b"]" * 400 + b"}",
    "half a surrogate pair": b'{"name": "\\ud800"}',
    "half a pair as a field": b'{"\\ud800": 1}',
    "half a pair as a field below": b'{"penalties": [{"kind": "l2", "lambda": 1, "\\udfff": 1}]}',
    "half a pair as a kind": b'{"model": {"kind": "\\ud800"}}',
    "half a pair as a label": b'{"metadata": {"\\ud800": "x"}}',
    "half a pair as a label's value": b'{"metadata": {"x": "\\udc00"}}',
    "half a pair as a layer": b'{"penalties": [{"kind": "l2", "lambda": 1, "on": ["\\ud800"]}]}',
    "a NUL": b'{"name": "\\u0000"}',
    "a NUL as a field": b'{"\\u0000": 1}',
    "a NUL in the raw": b'{"name": "\x00"}',
    "a field twice": b'{"epochs": 1, "epochs": 2}',
    "a field twice below": b'{"model": {"kind": "linear", "kind": "mlp"}}',
    "a pointer's own letters": b'{"~/": 1, "a/b": 2}',
    "a field of another script": '{"épochs": 1}'.encode(),
    "an empty field": b'{"": 1}',
    "many fields": json.dumps({f"f{i}": 1 for i in range(5000)}).encode(),
    "many faults": json.dumps({"penalties": [{"kind": "x"}] * 5000}).encode(),
    "a kind that is a list": b'{"model": {"kind": ["cnn"]}}',
    "a kind that is an object": b'{"model": {"kind": {}}}',
    "a model that is a list": b'{"model": [1]}',
    "penalties that are an object": b'{"penalties": {"kind": "l2"}}',
    "a long kind": b'{"model": {"kind": "' + b"x" * 500_000 + b'"}}',
    "a long field": b'{"' + b"x" * 500_000 + b'": 1}',
    "a secret": json.dumps({"name": SECRET + "\n", "metadata": {"k": [SECRET]}, "optimizer": SECRET, "epochs": SECRET}).encode(),
    "a secret in broken JSON": b'{"name": "' + SECRET.encode(),
}


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs/validate"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_a_body_that_is_no_job_spec_is_refused(standing: httpx.AsyncClient, path: str, body: bytes) -> None:
    reply = await standing.post(path, content=body, headers=JSON)
    problem = reply.json()
    assert reply.status_code in {400, 422}
    assert problem["status"] == reply.status_code
    assert reply.status_code == 400 or problem["errors"]
    assert SECRET not in reply.text
    assert reply.content.isascii()
    assert len(reply.content) < 600_000


@pytest.mark.parametrize(("fields", "detail"), [(100, "100 things are wrong"), (101, "more than 100 things are wrong")])
async def test_of_many_faults_the_first_hundred_are_told_and_that_there_are_more(
    standing: httpx.AsyncClient, fields: int, detail: str
) -> None:
    problem = (await standing.post("/v1/jobs", json={f"field_{number}": 1 for number in range(fields)})).json()
    assert problem["detail"].startswith(detail)
    assert len(problem["errors"]) == 100


@pytest.mark.parametrize("body", [b'{\n "epochs": }', b'{"epochs": 1,\n}'])
async def test_malformed_json_is_told_where_it_goes_wrong(standing: httpx.AsyncClient, body: bytes) -> None:
    problem = (await standing.post("/v1/jobs", content=body, headers=JSON)).json()
    assert (problem["status"], problem["code"]) == (400, "malformed_json")
    assert "line 2, column" in problem["detail"]


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp", "", "é", None]
)
async def test_a_body_of_another_type_is_refused(standing: httpx.AsyncClient, kind: str | None) -> None:
    headers = {} if kind is None else [(b"Content-Type", kind.encode())]
    reply = await standing.post("/v1/jobs", content=b"{}", headers=headers)
    assert (reply.status_code, reply.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/merge-patch+json"]
)
async def test_json_is_json_whatever_its_type_adds(standing: httpx.AsyncClient, kind: str) -> None:
    assert (await standing.post("/v1/jobs", content=b"{}", headers={"Content-Type": kind})).status_code == 201


@pytest.mark.parametrize("declared", [None, "99999999", "9" * 400])
async def test_a_body_that_is_too_large_is_refused_whatever_length_it_declares(standing: httpx.AsyncClient, declared: str | None) -> None:
    async def body() -> Any:
        for _ in range(20 if declared is None else 1):
            yield b" " * 100_000

    headers = JSON if declared is None else {**JSON, "Content-Length": declared}
    reply = await standing.post("/v1/jobs", content=body(), headers=headers)
    assert (reply.status_code, reply.json()["code"]) == (413, "body_too_large")


QUERIES = [
    "limit=0",
    "limit=101",
    "limit=x",
    "limit=" + "9" * 5000,
    "limit=1e3",
    "status=gone",
    "status=",
    "stauts=queued",
    "limit=%00",
    "%00=1",
]
QUERIES += ["status=queued&" * 17, "limit=1&status=%ff", "cursor[]=1"]


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
async def test_a_parameter_that_cannot_be_is_told_by_name(standing: httpx.AsyncClient, query: str) -> None:
    reply = await standing.get(f"/v1/jobs?{query}")
    assert (reply.status_code, reply.json()["code"]) == (422, "invalid_parameter")
    assert all(fault["pointer"].startswith("/query/") for fault in reply.json()["errors"])


@pytest.mark.parametrize("page", ["events?after=", "metrics?step_from=", "metrics?step_to=", "metrics?max_points=", "events?limit="])
@pytest.mark.parametrize("value", ["-1", "1" + "0" * 30, "9" * 5000, "x", "%00", "1.5", "NaN"])
async def test_a_number_that_no_database_holds_is_refused(standing: httpx.AsyncClient, standing_job: str, page: str, value: str) -> None:
    assert (await standing.get(f"/v1/jobs/{standing_job}/{page}{value}")).status_code == 422


@pytest.mark.parametrize("key", [b"", b"x" * 256, b"\x00", b"a\x00b", b"\xff", "é".encode(), b"\t", b"a\nb"])
async def test_a_key_that_cannot_be_stored_is_refused(standing: httpx.AsyncClient, key: bytes) -> None:
    reply = await standing.post("/v1/jobs", json={}, headers=[(b"Idempotency-Key", key)])
    assert (reply.status_code, reply.json()["code"]) == (400, "bad_header")


@pytest.mark.parametrize("heard", [b"x", b"-1", b"1.5", b"\x00", b"9" * 5000, b"\xff", "²".encode(), b"1 2", b"+1"])
async def test_an_event_id_that_no_stream_gave_out_is_answered_with_a_resync(client: httpx.AsyncClient, job_id: str, heard: bytes) -> None:
    await client.post(f"/v1/jobs/{job_id}/cancel")
    reply = await client.get(f"/v1/jobs/{job_id}/events", headers=[(b"Accept", b"text/event-stream"), (b"Last-Event-ID", heard)])
    assert [line for line in reply.text.splitlines() if line.startswith("event:")] == ["event: resync", "event: status", "event: status"]


@pytest.mark.parametrize("accept", [b"", b"\xff", b"*/*", b"text/html;q=NaN", b"," * 5000, b"\x00"])
async def test_an_accept_that_asks_for_no_stream_gets_json(standing: httpx.AsyncClient, standing_job: str, accept: bytes) -> None:
    reply = await standing.get(f"/v1/jobs/{standing_job}/events", headers=[(b"Accept", accept)])
    assert (reply.status_code, reply.json()["object"]) == (200, "list")


@pytest.mark.parametrize("host", [b"", b"[", b"a b", b"\xff", b"x" * 5000, b"evil:port:99"])
async def test_a_host_that_is_none_is_refused_with_a_problem(standing: httpx.AsyncClient, host: bytes) -> None:
    for path in ("/nope", "/healthz", "/", "/docs"):
        reply = await standing.get(path, headers=[(b"Host", host)])
        assert (reply.status_code, reply.json()["code"]) == (403, "host_not_allowed")


@pytest.mark.parametrize(
    "body",
    [{"penalties": [1] * 2000}, {"model": {"kind": "mlp", "hidden": ["x"] * 2000}}, {"n" * 300: 1}, {f"f{i}": 1 for i in range(300)}],
    ids=["list", "deep list", "name", "members"],
)
def test_what_no_spec_can_hold_is_refused_before_each_piece_of_it_is_checked(body: dict[str, Any]) -> None:
    with pytest.raises(MalformedBodyError):
        parse(json.dumps(body).encode())


def test_a_body_of_too_many_values_is_refused_before_any_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("json.loads", None)
    for body in (b"[" + b"{}," * 30_000 + b"1]", b"[[" + b"[]," * 30_000 + b"1]]"):
        with pytest.raises(MalformedBodyError, match="values"):
            parse(body)


async def test_a_long_body_is_read_beside_the_loop(standing: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    readers = []
    monkeypatch.setattr("service.body.parse", lambda body: readers.append(threading.current_thread()) or {})
    for size in (10, 100_000):
        await standing.post("/v1/jobs/validate", content=b" " * size, headers=JSON)
    assert [reader is threading.main_thread() for reader in readers] == [True, False]

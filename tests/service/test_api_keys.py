"""Who holds a key, what it lets in to, and that no secret is told or kept."""

import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from contract.settings import Settings
from contract.store import Store, keys
from contract.store.keys import Scope
from service.api_keys import main as make_key
from tests.service.guarded import OPERATOR, Guarded, guarded

pytestmark = pytest.mark.anyio

CI = {"name": "ci", "scopes": ["jobs:read", "jobs:write"]}


@pytest.fixture
async def service(sqlite_store: Store, settings: Settings, serve: Any) -> AsyncIterator[Guarded]:
    async with guarded(settings, serve) as made:
        yield made


async def made(service: Guarded, **changes: Any) -> dict[str, Any]:
    reply = await service.ask(OPERATOR, "POST", "/v1/api-keys", json=CI | changes)
    assert reply.status_code == 201, reply.text
    body: dict[str, Any] = reply.json()
    return body


async def test_a_key_is_shown_once_and_lets_its_holder_in(service: Guarded) -> None:
    reply = await service.ask(OPERATOR, "POST", "/v1/api-keys", json=CI)
    assert reply.headers["cache-control"] == "no-store"
    key = reply.json()
    assert reply.headers["location"] == f"/v1/api-keys/{key['id']}"
    assert (await service.ask(key["secret"], "GET", "/v1/jobs")).status_code == 200
    shown = await service.ask(OPERATOR, "GET", f"/v1/api-keys/{key['id']}")
    listed = await service.ask(OPERATOR, "GET", "/v1/api-keys")
    assert key["secret"] not in shown.text + listed.text
    assert (shown.json()["tenant"], shown.json()["scopes"], shown.json()["is_active"]) == ("default", CI["scopes"], True)
    assert shown.json()["last_used_at"]


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Basic eDp5", "Bearer rk_nope", "Bearer é", f"bearer {OPERATOR}x", OPERATOR, f"Basic {OPERATOR}"],
)
async def test_without_a_key_that_holds_nothing_is_told(service: Guarded, header: str | None) -> None:
    sent = {} if header is None else {b"Authorization": header.encode()}
    reply = await service.http.get("/v1/jobs", headers=[*sent.items()])
    assert (reply.status_code, reply.json()["code"]) == (401, "unauthenticated")
    assert reply.headers["www-authenticate"].startswith("Bearer")
    assert "nope" not in reply.text


async def test_the_scheme_is_read_in_any_case(service: Guarded) -> None:
    for scheme in ("bearer", "BEARER", "Bearer "):
        assert (await service.http.get("/v1/jobs", headers={"Authorization": f"{scheme} {OPERATOR}"})).status_code == 200


async def test_a_revoked_key_lets_nobody_in_from_the_next_request_on(service: Guarded) -> None:
    key = await made(service)
    for _ in range(2):
        assert (await service.ask(OPERATOR, "DELETE", f"/v1/api-keys/{key['id']}")).status_code == 204
        reply = await service.ask(key["secret"], "GET", "/v1/jobs")
        assert (reply.status_code, key["id"] in reply.json()["detail"]) == (401, True)
    assert not (await service.ask(OPERATOR, "GET", f"/v1/api-keys/{key['id']}")).json()["is_active"]


async def test_an_expired_key_lets_nobody_in(service: Guarded) -> None:
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    key = await made(service, expires_at=soon)
    assert (await service.ask(key["secret"], "GET", "/v1/jobs")).status_code == 200
    with service.store.write() as connection:
        connection.execute(text("UPDATE api_keys SET expires_at = 1.0"))
    assert "expired" in (await service.ask(key["secret"], "GET", "/v1/jobs")).json()["detail"]


FAULTS: list[dict[str, Any]] = [
    {"name": ""}, {"name": "é"}, {"name": "x" * 65}, {"scopes": []}, {"scopes": ["jobs"]}, {"scope": "admin"}, {"tenant": "*"},
    {"tenant": "A"}, {"expires_at": "2020-01-01T00:00:00Z"}, {"expires_at": "2030-01-01T00:00:00"}, {"expires_at": "soon"},
    {"expires_at": 1e300}, {"expires_at": "9999-12-31T23:59:59-23:00"},
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_a_key_that_cannot_be_is_refused_with_the_place(service: Guarded, fault: dict[str, Any]) -> None:
    reply = await service.ask(OPERATOR, "POST", "/v1/api-keys", json=CI | fault)
    assert reply.status_code == 422, reply.text
    assert next(iter(fault)) in reply.json()["errors"][0]["pointer"]


async def test_a_third_active_key_of_a_name_is_a_conflict(service: Guarded) -> None:
    for _ in range(2):
        await made(service)
    reply = await service.ask(OPERATOR, "POST", "/v1/api-keys", json=CI)
    assert (reply.status_code, reply.json()["code"]) == (409, "state_conflict")


async def test_an_admin_looks_after_the_keys_of_the_own_tenant_and_the_operator_after_all(service: Guarded) -> None:
    other = await made(service, tenant="b")
    assert (await service.as_("a", "GET", f"/v1/api-keys/{other['id']}")).status_code == 404
    assert (await service.as_("a", "DELETE", f"/v1/api-keys/{other['id']}")).status_code == 404
    own = (await service.as_("a", "POST", "/v1/api-keys", json=CI)).json()
    assert own["tenant"] == "a"
    refused = await service.as_("a", "POST", "/v1/api-keys", json=CI | {"tenant": "b"})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert {key["tenant"] for key in (await service.as_("a", "GET", "/v1/api-keys")).json()["data"]} == {"a"}
    assert (await service.as_("a", "GET", "/v1/api-keys?tenant=b")).json()["data"] == []
    assert {key["tenant"] for key in (await service.ask(OPERATOR, "GET", "/v1/api-keys")).json()["data"]} == {"a", "b"}
    assert {key["id"] for key in (await service.ask(OPERATOR, "GET", "/v1/api-keys?tenant=b")).json()["data"]} == {other["id"]}


async def test_keys_are_listed_newest_first_in_pages(service: Guarded) -> None:
    ids = [(await made(service, name=f"k{index}"))["id"] for index in range(5)]
    seen: list[str] = []
    query: dict[str, str] = {"limit": "2"}
    while True:
        page = (await service.ask(OPERATOR, "GET", "/v1/api-keys", params=query)).json()
        seen += [key["id"] for key in page["data"]]
        if not page["has_more"]:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == ids[::-1]
    assert (await service.ask(OPERATOR, "GET", "/v1/api-keys", params=query | {"tenant": "a"})).json()["code"] == "bad_cursor"


async def test_what_a_key_changes_is_written_down_with_what_came_of_it(service: Guarded) -> None:
    admin, secret = service.key("a", Scope.ADMIN)
    job = (await service.ask(secret, "POST", "/v1/jobs", json={}, headers={"X-Request-Id": "mine"})).json()
    await service.ask(secret, "GET", "/v1/jobs")
    await service.ask(secret, "POST", f"/v1/jobs/{job['id']}/cancel")
    await service.ask(secret, "POST", "/v1/jobs", json={"epochs": 0})
    reader = service.key("a", Scope.JOBS_READ)
    await service.ask(reader[1], "POST", f"/v1/jobs/{job['id']}/cancel")
    await service.as_("b", "POST", "/v1/jobs", json={})
    events = (await service.ask(secret, "GET", "/v1/audit-events")).json()["data"]
    assert [(event["key_id"], event["action"], event["status"]) for event in events] == [
        (reader[0].id, "cancel_job", 403),
        (admin.id, "submit_job", 422),
        (admin.id, "cancel_job", 202),
        (admin.id, "submit_job", 201),
    ]
    assert (events[-1]["request_id"], events[-1]["target"], events[-1]["method"]) == ("mine", "/v1/jobs", "POST")
    some = (await service.ask(secret, "GET", f"/v1/audit-events?action=cancel_job&key_id={admin.id}")).json()["data"]
    assert [event["id"] for event in some] == [events[2]["id"]]


async def test_a_refused_authentication_is_written_down_and_a_flood_of_them_is_bounded(service: Guarded) -> None:
    key = await made(service, tenant="a")
    keys.revoke(service.store, "a", key["id"])
    await service.ask(key["secret"], "GET", "/v1/jobs")
    for _ in range(100):
        await service.ask("rk_guess", "GET", "/v1/jobs")
    own = (await service.as_("a", "GET", "/v1/audit-events?action=authentication_refused")).json()["data"]
    assert [(event["key_id"], event["status"]) for event in own] == [(key["id"], 401)]
    every = (await service.ask(OPERATOR, "GET", "/v1/audit-events?action=authentication_refused&limit=100")).json()["data"]
    assert 50 < len(every) < 70
    assert every[0]["tenant"] is None


async def test_a_key_can_be_made_before_there_is_a_server(
    service: Guarded, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("contract.settings.current", lambda: settings)
    assert make_key(["create", "--admin", "ada"]) == 0
    out, err = capsys.readouterr()
    assert (await service.ask(out.strip(), "GET", "/v1/api-keys")).json()["data"][0]["name"] == "ada"
    assert "admin" in err
    assert out.strip() not in err


async def test_no_secret_is_logged_told_or_stored(
    service: Guarded, settings: Settings, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.WARNING, logger="httpx")  # the client of this test, which tells the addresses it asks
    key = await made(service)
    guess = "rk_" + "canary" * 7
    replies = [
        await service.ask(secret, method, path, **options)
        for secret in (key["secret"], guess, OPERATOR)
        for method, path, options in [
            ("GET", "/v1/jobs", {}), ("POST", "/v1/jobs", {"json": {"epochs": "x"}}), ("GET", "/nope", {}), ("GET", "/readyz", {}),
            ("POST", "/v1/api-keys", {"json": {"name": secret, "scopes": [secret]}}), ("PROPFIND", "/v1/jobs", {}),
            ("GET", "/v1/audit-events", {}), ("GET", "/v1/jobs?cursor=" + secret, {}),
        ]
    ]  # fmt: skip
    told = "".join(reply.text + str(reply.headers) for reply in replies)
    logged = caplog.text + "".join(capsys.readouterr())
    files = b"".join(path.read_bytes() for path in settings.artifacts_folder.parent.rglob("*") if path.is_file())
    for secret in (key["secret"], guess, OPERATOR):
        assert secret not in told.replace(f"/v1/jobs?cursor={secret}", "")
        assert secret not in logged
        assert secret.encode() not in files
    assert OPERATOR not in repr(settings.model_copy(update={"admin_key": Settings(admin_key=OPERATOR).admin_key}))  # type: ignore[arg-type]


def test_the_password_of_a_database_is_in_no_error_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    url = "postgresql+psycopg://ridgeline:canary-password@127.0.0.1:1/none"
    with pytest.raises(Exception, match="does not answer") as failed, Store(url).read():
        pass
    with pytest.raises(Exception, match="RIDGELINE_DATABASE_URL") as unknown:
        Store(url.replace("postgresql+psycopg", "mysql"))
    assert "canary" not in caplog.text + str(failed.value) + str(unknown.value) + repr(Store(url)) + str(Store(url).engine)

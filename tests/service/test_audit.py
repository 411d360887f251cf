"""What is written down of a request, what is not, and that the deed is done though nothing can be written down."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, text

from contract.errors import StoreUnavailableError
from contract.settings import Settings
from contract.store import Store, audit, keys, tables
from contract.store.keys import Scope
from service.app import create_app
from tests.service.guarded import OPERATOR, Guarded, guarded

pytestmark = pytest.mark.anyio


@pytest.fixture
async def service(sqlite_store: Store, settings: Settings, serve: Any) -> AsyncIterator[Guarded]:
    async with guarded(settings, serve) as made:
        yield made


async def events(service: Guarded, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await service.ask(OPERATOR, "GET", "/v1/audit-events", params=query)).json()["data"]
    return found


async def test_what_a_sender_makes_up_is_written_down_short_and_plain(service: Guarded) -> None:
    await service.as_("a", "POST", "/v1/jobs/%00caf%C3%A9" + "x" * 300 + "/cancel")
    (event,) = await events(service)
    assert (event["action"], event["status"], event["ip"]) == ("cancel_job", 404, "127.0.0.1")
    assert event["target"] == "/v1/jobs/?caf?" + "x" * 242


async def test_neither_what_changes_nothing_nor_what_nobody_was_let_in_for_is_a_deed(service: Guarded) -> None:
    _, secret = service.key("a", Scope.ADMIN)
    for method, path in (("GET", "/v1/jobs"), ("HEAD", "/v1/jobs"), ("OPTIONS", "/v1/jobs"), ("POST", "/nope"), ("PUT", "/v1/jobs")):
        assert (await service.ask(secret, method, path)).status_code in {200, 404, 405}
    await service.http.get("/healthz")
    assert await events(service) == []


async def test_a_refusal_is_written_down_under_the_tenant_of_the_key_that_was_known(service: Guarded) -> None:
    key, secret = service.key("a", Scope.JOBS_READ)
    with service.store.write() as connection:
        connection.execute(text("UPDATE api_keys SET expires_at = 1.0"))
    await service.ask(secret, "GET", "/v1/jobs")
    await service.ask(None, "DELETE", "/v1/jobs/x")
    anonymous, known = await events(service)
    assert [known[name] for name in ("tenant", "key_id", "action", "method", "status")] == [
        "a",
        key.id,
        "authentication_refused",
        "GET",
        401,
    ]
    assert [anonymous[name] for name in ("tenant", "key_id", "method", "target")] == [None, None, "DELETE", "/v1/jobs/x"]


async def test_without_keys_nothing_is_written_down(client: httpx.AsyncClient, job_id: str, sqlite_store: Store) -> None:
    await client.post(f"/v1/jobs/{job_id}/cancel")
    with sqlite_store.read() as connection:
        assert connection.execute(select(func.count()).select_from(tables.audit_events)).scalar_one() == 0


async def test_a_deed_that_cannot_be_written_down_is_done_and_logged(
    service: Guarded, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: object) -> None:
        raise StoreUnavailableError("the disk is full")

    monkeypatch.setattr(audit, "record", away)
    key, secret = service.key("a", Scope.ADMIN)
    caplog.set_level(logging.ERROR)
    assert (await service.ask(secret, "POST", "/v1/jobs", json={})).status_code == 201
    assert all(word in caplog.text for word in ("not written down", "the disk is full", "submit_job", key.id))


async def test_events_are_turned_page_by_page_under_their_filters(service: Guarded) -> None:
    for tenant in "aab":
        await service.as_(tenant, "POST", "/v1/jobs", json={})
        await service.as_(tenant, "POST", "/v1/jobs/x/cancel")
    seen, query = [], {"limit": "2", "action": ["submit_job", "cancel_job"]}
    while True:
        page = (await service.as_("a", "GET", "/v1/audit-events", params=query)).json()
        seen += page["data"]
        assert len(page["data"]) <= 2
        if not page["has_more"]:
            break
        query["cursor"] = page["next_cursor"]
    assert [(event["action"], event["tenant"]) for event in seen] == [("cancel_job", "a"), ("submit_job", "a")] * 2
    assert len(await events(service)) == 6
    turned = {"cursor": query["cursor"], "action": ["cancel_job", "submit_job", "cancel_job"]}
    assert (await service.as_("a", "GET", "/v1/audit-events", params=turned)).status_code == 200
    for other in ({"action": "submit_job"}, {"key_id": "key_1"}, {}):
        changed = {"cursor": query["cursor"]} | ({} if other == {} else {"action": turned["action"]} | other)
        assert (await service.as_("a", "GET", "/v1/audit-events", params=changed)).json()["code"] == "bad_cursor"


# --- Who asks -----------------------------------------------------------------------------------------------------------------------


async def test_without_an_operators_key_nobody_is_the_operator(sqlite_store: Store, settings: Settings, serve: Any) -> None:
    async with guarded(settings, serve, admin_key=None) as service:
        assert (await service.ask(OPERATOR, "GET", "/v1/jobs")).status_code == 401
        assert (await service.as_("a", "GET", "/v1/jobs")).status_code == 200


async def test_each_address_has_a_bucket_of_its_own(sqlite_store: Store, settings: Settings) -> None:
    for changes in ({"rate_limit": "1/hour"}, {"rate_limit": "1/hour", "auth": "keys"}):
        app = create_app(settings.model_copy(update=changes))
        async with app.router.lifespan_context(app):
            answers = [await asked(app, address) for address in ("10.0.0.1", "10.0.0.2", "10.0.0.1")]
        assert [status == 429 for status in answers] == [False, False, True]


async def asked(app: Any, address: str) -> int:
    transport = httpx.ASGITransport(app, client=(address, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return (await client.get("/v1/jobs", headers={"Authorization": "Bearer rk_nope"})).status_code


async def test_a_revoked_key_is_told_of_as_revoked_and_a_fresh_one_as_used(service: Guarded) -> None:
    key, secret = service.key("a", Scope.JOBS_READ)
    assert keys.get(service.store, "a", key.id).last_used_at is None
    await service.ask(secret, "GET", "/v1/jobs")
    assert keys.get(service.store, "a", key.id).last_used_at is not None
    keys.revoke(service.store, "a", key.id)
    assert "was revoked" in (await service.ask(secret, "GET", "/v1/jobs")).json()["detail"]

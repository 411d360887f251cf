"""Without keys nobody but the people and programs of this machine is heard: no page of the internet, no other machine."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Request

from contract.settings import Settings
from contract.store import Store
from service import browsers
from service.app import create_app

pytestmark = pytest.mark.anyio

HERE = "http://127.0.0.1:8000"


def refusal(settings: Settings, method: str = "POST", server: str = "127.0.0.1", **headers: str) -> str | None:
    sent = {"host": "127.0.0.1:8000"} | {name.replace("_", "-"): value for name, value in headers.items()}
    raw = [(name.encode(), value.encode()) for name, value in sent.items()]
    found = browsers.refusal(Request({"type": "http", "method": method, "headers": raw, "server": (server, 8000)}), settings)
    return found and found[0]


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "LOCALHOST", "127.0.0.1", "127.0.0.1:1", "127.8.8.8", "[::1]:8000", "localhost."]
)
def test_the_names_of_loopback_are_ours(host: str) -> None:
    assert refusal(Settings(), host=host) is None


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8000", "evil", "", "[", "10.0.0.1", "a b"]
)
def test_a_name_that_was_made_to_lead_here_is_not_ours(host: str) -> None:
    for method in ("GET", "POST"):
        assert refusal(Settings(), method, host=host) == "host_not_allowed"


def test_the_operator_can_name_more() -> None:
    settings = Settings(allowed_hosts="train.example, Other.example")
    for host in ("train.example", "other.example:8443", "TRAIN.example"):
        assert refusal(settings, host=host) is None
        assert refusal(settings, host=host, origin=f"https://{host.lower()}") is None
    assert refusal(settings, host="third.example") == "host_not_allowed"


def test_behind_a_proxy_that_calls_us_by_another_name_the_pages_of_a_named_host_are_heard() -> None:
    settings = Settings(allowed_hosts="train.example")
    for headers in ({}, {"sec_fetch_site": "cross-site"}):
        assert refusal(settings, origin="https://train.example", **headers) is None
        assert refusal(settings, origin="https://train.example:8443", **headers) is None
        assert refusal(settings, origin="https://train.example.evil.example", **headers) == "cross_site"


FROM_ELSEWHERE = [
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://localhost:3000"},
    {"origin": "https://evil.example", "sec_fetch_site": "cross-site"},
    {"sec_fetch_site": "cross-site"},
    {"sec_fetch_site": "same-site", "origin": "http://127.0.0.1:3000"},
    {"origin": "http://[", "host": "localhost"},
]


@pytest.mark.parametrize("headers", FROM_ELSEWHERE)
def test_a_page_of_another_site_changes_nothing_here(headers: dict[str, str]) -> None:
    for method in ("POST", "DELETE", "PATCH", "PUT"):
        assert refusal(Settings(), method, **headers) == "cross_site"


@pytest.mark.parametrize("headers", FROM_ELSEWHERE)
def test_a_link_from_another_site_leads_here(headers: dict[str, str]) -> None:
    assert refusal(Settings(), "GET", **headers) is None


@pytest.mark.parametrize("headers", [{}, {"origin": HERE}, {"sec_fetch_site": "same-origin", "origin": HERE}, {"sec_fetch_site": "none"}])
def test_programs_and_our_own_pages_are_heard(headers: dict[str, str]) -> None:
    assert refusal(Settings(), "POST", **headers) is None


def test_a_connection_from_outside_is_refused_whatever_address_the_settings_name() -> None:
    assert refusal(Settings(), "GET", server="192.168.1.5", host="192.168.1.5") == "keys_needed"
    assert refusal(Settings(), "GET", server="/run/ridgeline.sock") is None
    nowhere = Request({"type": "http", "method": "GET", "headers": [(b"host", b"localhost")], "server": None})
    assert browsers.refusal(nowhere, Settings()) is None
    assert (browsers.refusal(Request({**nowhere.scope, "headers": []}), Settings()) or [""])[0] == "host_not_allowed"


def test_with_keys_the_key_alone_decides() -> None:
    settings = Settings(auth="keys")
    assert refusal(settings, server="192.168.1.5", host="train.example", origin="https://app.example") is None


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_what_changes_nothing_is_heard_from_anywhere(method: str) -> None:
    assert refusal(Settings(), method, sec_fetch_site="cross-site", origin="https://evil.example") is None


async def test_a_job_cannot_be_cancelled_from_a_page_of_another_site(client: httpx.AsyncClient, job_id: str) -> None:
    refused = await client.post(f"/v1/jobs/{job_id}/cancel", headers={"Origin": "https://evil.example"})
    assert (refused.status_code, refused.json()["code"]) == (403, "cross_site")
    assert refused.headers["content-type"] == "application/problem+json"
    assert (await client.get(f"/v1/jobs/{job_id}", headers={"Origin": "https://evil.example"})).json()["status"] == "queued"


async def test_a_rebound_name_reads_nothing(client: httpx.AsyncClient, job_id: str) -> None:
    reply = await client.get(f"/v1/jobs/{job_id}", headers={"Host": "evil.example"})
    assert (reply.status_code, reply.json()["code"]) == (403, "host_not_allowed")
    assert "evil" not in reply.text


async def test_the_check_is_made_before_any_page(sqlite_store: Store, settings: Settings, serve: Any, tmp_path: Path) -> None:
    async with serve(create_app(settings)) as client:
        for path in ("/openapi.json", "/docs", "/nope", "/healthz"):
            assert (await client.get(path, headers={"Host": "evil.example"})).status_code == 403

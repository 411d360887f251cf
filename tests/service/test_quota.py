"""How much and how often: what a client is told of its quota and its rate, and what it is answered beyond them."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from contract.settings import Settings
from contract.store import Store
from service import rates
from service.app import create_app
from service.errors import RateLimitedError
from tests.service.guarded import OPERATOR, Guarded, guarded

pytestmark = pytest.mark.anyio


@pytest.fixture
async def service(sqlite_store: Store, settings: Settings, serve: Any) -> AsyncIterator[Guarded]:
    async with guarded(settings, serve) as made:
        yield made


async def test_a_tenant_without_limits_sees_what_it_uses(client: httpx.AsyncClient, hands: Any, job_id: str) -> None:
    hands.checkpoint(hands.claim(job_id), 1, 0.5)
    await client.post("/v1/jobs", json={})
    quota = (await client.get("/v1/quota")).json()
    assert quota["limit"] == {"running_jobs": None, "queued_jobs": None, "stored_bytes": None, "device_seconds": None}
    assert quota["used"]["device_seconds"] > 0
    assert (quota["used"]["running_jobs"], quota["used"]["queued_jobs"], quota["used"]["stored_bytes"]) == (1, 1, 10240)


async def test_the_settings_hold_for_everybody_and_the_operator_sets_others_for_one(
    sqlite_store: Store, settings: Settings, serve: Any
) -> None:
    async with guarded(settings, serve, quota_queued_jobs=1) as service:
        for tenant in ("a", "b"):
            assert (await service.as_(tenant, "POST", "/v1/jobs", json={})).status_code == 201
        told = await service.ask(OPERATOR, "PUT", "/v1/quota/a", json={"queued_jobs": 2})
        assert (told.json()["limit"]["queued_jobs"], told.json()["used"]["queued_jobs"]) == (2, 1)
        assert (await service.as_("a", "POST", "/v1/jobs", json={})).status_code == 201
        refused = await service.as_("b", "POST", "/v1/jobs", json={})
        assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
        assert int(refused.headers["retry-after"]) > 0
        assert (await service.ask(OPERATOR, "DELETE", "/v1/quota/a")).status_code == 204
        assert (await service.as_("a", "GET", "/v1/quota")).json()["limit"]["queued_jobs"] == 1


async def test_a_repeated_submission_is_replayed_though_the_queue_is_full(service: Guarded) -> None:
    await service.ask(OPERATOR, "PUT", "/v1/quota/a", json={"queued_jobs": 1})
    first, again = [await service.as_("a", "POST", "/v1/jobs", json={}, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert (first.status_code, again.status_code, again.headers.get("idempotency-replayed")) == (201, 201, "true")


async def test_the_same_key_of_another_tenant_repeats_nothing(service: Guarded) -> None:
    made = [(await service.as_(tenant, "POST", "/v1/jobs", json={}, headers={"Idempotency-Key": "x"})).json()["id"] for tenant in "abab"]
    assert (made[:2], len(set(made))) == (made[2:], 2)


async def test_used_up_bytes_are_a_403_since_waiting_does_not_help(service: Guarded) -> None:
    await service.ask(OPERATOR, "PUT", "/v1/quota/a", json={"stored_bytes": 0})
    refused = await service.as_("a", "POST", "/v1/jobs", json={})
    assert (refused.status_code, refused.json()["code"]) == (403, "quota_exceeded")
    assert "retry-after" not in refused.headers


async def test_an_admin_sees_the_own_quota_and_sets_none(service: Guarded) -> None:
    assert (await service.as_("a", "GET", "/v1/quota/a")).status_code == 200
    assert (await service.as_("a", "GET", "/v1/quota/b")).status_code == 404
    for method, options in (("PUT", {"json": {}}), ("DELETE", {})):
        reply = await service.as_("a", method, "/v1/quota/a", **options)
        assert (reply.status_code, reply.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    "body", [{"running_jobs": -1}, {"running_job": 1}, {"stored_bytes": 1.5}, {"device_seconds": "x"}, [], {"queued_jobs": True}]
)
async def test_limits_that_cannot_be_are_refused(service: Guarded, body: Any) -> None:
    assert (await service.ask(OPERATOR, "PUT", "/v1/quota/a", json=body)).status_code == 422
    assert (await service.ask(OPERATOR, "PUT", "/v1/quota/*", json={})).status_code == 404


# --- Rates --------------------------------------------------------------------------------------------------------------------------


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_fills_again_at_its_rate() -> None:
    clock = Clock()
    limiter = rates.Limiter("3/minute", clock)
    for left in (2, 1, 0):
        limiter.spend("a")
        assert f"r={left}" in limiter.headers("a")["RateLimit"]
    with pytest.raises(RateLimitedError) as refused:
        limiter.spend("a")
    limiter.spend("b")
    clock.now = refused.value.retry_after - 1
    with pytest.raises(RateLimitedError):
        limiter.spend("a")
    clock.now = refused.value.retry_after
    limiter.spend("a")
    clock.now = 1000
    assert limiter.headers("a") == {"RateLimit-Policy": '"default";q=3;w=60', "RateLimit": '"default";r=3;t=0'}


@pytest.mark.parametrize(("policy", "seconds"), [("1/second", 1), ("1/minute", 60), ("1/hour", 3600)])
def test_a_token_is_there_again_when_it_was_said_to_be(policy: str, seconds: int) -> None:
    clock = Clock()
    limiter = rates.Limiter(policy, clock)
    limiter.spend("a")
    for now, left in ((0.0, seconds), (seconds - 0.5, 1)):
        clock.now = now
        with pytest.raises(RateLimitedError) as refused:
            limiter.spend("a")
        assert refused.value.retry_after == left
    clock.now = 10.0 * seconds
    limiter.spend("a")
    with pytest.raises(RateLimitedError):
        limiter.spend("a")


def test_the_callers_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MOST_KNOWN", 3)
    limiter = rates.Limiter("2/hour", Clock())
    for who in "abcab" + "d":
        limiter.spend(who)
    assert set(limiter._buckets) == {"a", "b", "d"}
    with pytest.raises(RateLimitedError):
        limiter.spend("a")


async def test_each_key_has_a_bucket_of_its_own(sqlite_store: Store, settings: Settings, serve: Any) -> None:
    async with guarded(settings, serve, rate_limit="2/hour") as service:
        replies = [await service.as_("a", "GET", "/v1/jobs") for _ in range(3)]
        assert [reply.status_code for reply in replies] == [200, 200, 429]
        assert [reply.headers["ratelimit"].split(";")[1] for reply in replies] == ["r=1", "r=0", "r=0"]
        assert {reply.headers["ratelimit-policy"] for reply in replies} == {'"default";q=2;w=3600'}
        assert (replies[-1].json()["code"], int(replies[-1].headers["retry-after"]) > 0) == ("rate_limited", True)
        assert (await service.as_("b", "GET", "/v1/jobs")).status_code == 200
        assert (await service.http.get("/healthz")).status_code == 200


async def test_whoever_tries_keys_is_slowed_down(sqlite_store: Store, settings: Settings, serve: Any) -> None:
    async with guarded(settings, serve, rate_limit="3/hour") as service:
        tries = [(await service.ask(f"rk_{index}", "GET", "/v1/jobs")).status_code for index in range(5)]
        assert tries == [401, 401, 401, 429, 429]
        assert (await service.as_("a", "GET", "/v1/jobs")).status_code == 200


async def test_without_keys_an_address_is_counted(sqlite_store: Store, settings: Settings, serve: Any) -> None:
    async with serve(create_app(settings.model_copy(update={"rate_limit": "1/hour"}))) as client:
        assert [(await client.get("/v1/jobs")).status_code for _ in range(2)] == [200, 429]


async def test_without_a_limit_none_is_told(client: httpx.AsyncClient) -> None:
    assert "ratelimit" not in (await client.get("/v1/jobs")).headers

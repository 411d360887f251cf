"""A webhook is told of every move of its tenant's jobs, signed, until it has heard it; and its secret is nobody else's."""

import hashlib
import hmac
import threading
from base64 import b64decode
from collections.abc import AsyncIterator, Iterator
from typing import Any, get_args

import httpx
import jsonschema
import pytest
import standardwebhooks
from pydantic import SecretStr
from sqlalchemy import select, update

from contract import lifecycle
from contract.lifecycle import Actor
from contract.settings import Settings
from contract.store import Store, deliveries, jobs, rows, tables, webhooks
from contract.webhooks import BACKOFF_SECONDS, OF_STATE, EventType
from service.app import create_app
from service.hooks import announced, asked
from service.hooks.courier import Courier
from tests.service.conftest import Hands
from tests.service.receiver import Receiver

pytestmark = pytest.mark.anyio
Json = dict[str, Any]
UNKNOWN = "wh_01kaj3v2m4n5p6q7r8s9t0v1w2"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


@pytest.fixture
def open_settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhook_allow_private": True})


@pytest.fixture
async def client(sqlite_store: Store, open_settings: Settings, serve: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with serve(create_app(open_settings)) as made:
        yield made


@pytest.fixture
def courier(sqlite_store: Store, open_settings: Settings) -> Courier:
    """One whose rounds the test makes; the application's own looks once an hour."""
    return Courier(sqlite_store, open_settings, threading.Event())


async def made(client: httpx.AsyncClient, receiver: Receiver, **fields: Any) -> Json:
    reply = await client.post("/v1/webhooks", json={"url": receiver.url} | fields)
    assert reply.status_code == 201, reply.text
    found: Json = reply.json()
    return found


async def submitted(client: httpx.AsyncClient) -> str:
    return str(
        (await client.post("/v1/jobs", json={"dataset": {"kind": "fake"}, "epochs": 2, "metadata": {"team": "vision"}})).json()["id"]
    )


def deliver(courier: Courier) -> None:
    """Send what is due until nothing is."""
    while courier.round():
        courier.join(30)


def due_now(store: Store) -> None:
    """As if every wait and every lease had passed."""
    with store.write() as connection:
        connection.execute(update(tables.deliveries).values(next_attempt_at=0.0))
        connection.execute(update(tables.webhooks).values(lease_until=0.0))


def outbox(store: Store) -> list[Any]:
    with store.read() as connection:
        return list(connection.execute(select(tables.deliveries).order_by(tables.deliveries.c.created_at, tables.deliveries.c.seq)))


async def test_each_move_of_a_job_is_told_in_order_and_the_signature_verifies(
    client: httpx.AsyncClient, hands: Hands, receiver: Receiver, courier: Courier
) -> None:
    secret = (await made(client, receiver))["secret"]
    job_id = await submitted(client)
    lease = hands.claim(job_id)
    hands.checkpoint(lease, 1, 0.5)
    hands.succeed(lease)
    deliver(courier)
    verified = [standardwebhooks.Webhook(secret).verify(message.body, message.headers) for message in receiver.messages]
    assert [message["type"] for message in verified] == ["job.queued", "job.running", "job.succeeded"]
    assert [message["data"]["previous_status"] for message in verified] == [None, "queued", "running"]
    assert {(message["data"]["job_id"], message["data"]["metadata"]["team"]) for message in verified} == {(job_id, "vision")}
    seen = [event.seq for event in jobs.events(hands.store, job_id) if event.type == "status"]
    assert [message["data"]["sequence"] for message in verified] == seen
    assert len({message.headers["webhook-id"] for message in receiver.messages}) == 3
    assert receiver.messages[0].path == "/hooks?from=ridgeline"
    components = create_app().openapi()["components"]
    for message in verified:
        jsonschema.validate(message, {"$ref": "#/components/schemas/JobMessage", "components": components})


async def test_a_signature_is_what_standard_webhooks_says_it_is(client: httpx.AsyncClient, receiver: Receiver) -> None:
    """By hand, as the documentation shows it: the library that signs must not be the only one that verifies."""
    webhook = await made(client, receiver)
    await client.post(f"/v1/webhooks/{webhook['id']}/test")
    (message,) = receiver.messages
    signed = f"{message.headers['webhook-id']}.{message.headers['webhook-timestamp']}.".encode() + message.body
    key = b64decode(webhook["secret"].removeprefix("whsec_"))
    assert len(key) >= 24
    assert b64decode(message.headers["webhook-signature"].removeprefix("v1,")) == hmac.new(key, signed, hashlib.sha256).digest()


async def test_a_move_that_is_rolled_back_is_told_to_nobody(client: httpx.AsyncClient, hands: Hands, receiver: Receiver) -> None:
    await made(client, receiver)
    job_id = await submitted(client)
    before = len(outbox(hands.store))

    def broken() -> None:
        with hands.store.write() as connection:
            job, now = rows.lock(connection, job_id), hands.store.now(connection)
            rows.save(connection, job, lifecycle.cancel(job, now), Actor.CLIENT, now)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    assert len(outbox(hands.store)) == before
    await client.post(f"/v1/jobs/{job_id}/cancel")
    assert [row.type for row in outbox(hands.store)] == ["job.queued", "job.cancelled"]


async def test_a_webhook_hears_only_what_it_asks_for(client: httpx.AsyncClient, hands: Hands, receiver: Receiver) -> None:
    webhook = await made(client, receiver, events=["job.failed"])
    job_id = await submitted(client)
    assert outbox(hands.store) == []
    hands.fail(hands.claim(job_id))
    (row,) = outbox(hands.store)
    (shown,) = (await client.get(f"/v1/webhooks/{webhook['id']}/deliveries")).json()["data"]
    assert (row.type, row.id, shown["payload"]["data"]["error"]["code"]) == ("job.failed", shown["id"], "diverged")


async def test_a_webhook_that_is_not_enabled_hears_nothing_and_what_waited_comes_later(
    client: httpx.AsyncClient, hands: Hands, receiver: Receiver, courier: Courier
) -> None:
    webhook = await made(client, receiver)
    await submitted(client)
    reply = await client.patch(f"/v1/webhooks/{webhook['id']}", json={"enabled": False})
    assert (reply.json()["enabled"], reply.json()["disabled_reason"]) == (False, "on request")
    await submitted(client)
    deliver(courier)
    assert receiver.messages == []
    assert len(outbox(hands.store)) == 1
    refused = await client.post(f"/v1/webhooks/{webhook['id']}/deliveries/{outbox(hands.store)[0].id}/redeliver")
    assert (refused.status_code, "enable it first" in refused.json()["detail"]) == (409, True)
    assert (await client.patch(f"/v1/webhooks/{webhook['id']}", json={"enabled": True})).json()["disabled_reason"] is None
    deliver(courier)
    assert receiver.came.acquire(timeout=30)
    assert len(receiver.messages) == 1


async def test_what_fails_is_sent_again_under_the_same_id_after_longer_and_longer_until_it_is_dead(
    client: httpx.AsyncClient, hands: Hands, receiver: Receiver, courier: Courier
) -> None:
    webhook = await made(client, receiver, events=["job.queued"])
    await submitted(client)
    receiver.answers.extend([(500, {}, b"broken \x00 " + b"x" * 5000)] * 8)
    for tries, wait in enumerate([*BACKOFF_SECONDS, None], start=1):
        deliver(courier)
        (row,) = outbox(hands.store)
        assert (row.attempts, row.status_code, row.state) == (tries, 500, "pending" if wait else "dead")
        if wait:
            assert wait - 1 < row.next_attempt_at - row.last_attempt_at < wait + 60
            due_now(hands.store)
    assert len(receiver.messages) == 8
    assert len({(message.headers["webhook-id"], message.body) for message in receiver.messages}) == 1
    shown = (await client.get(f"/v1/webhooks/{webhook['id']}/deliveries/{row.id}")).json()
    assert (shown["status"], shown["next_attempt_at"], shown["error"]) == (
        "dead",
        None,
        "the receiver answered 500; only 2xx counts as delivered",
    )
    assert shown["reply"].startswith("broken � xxx")
    assert len(shown["reply"]) == 1024


async def test_redelivery_sends_the_same_message_again_with_all_its_tries(
    client: httpx.AsyncClient, hands: Hands, receiver: Receiver, courier: Courier
) -> None:
    webhook = await made(client, receiver, events=["job.queued"])
    await submitted(client)
    deliver(courier)
    (row,) = outbox(hands.store)
    receiver.answers.append((503, {}, b""))
    reply = await client.post(f"/v1/webhooks/{webhook['id']}/deliveries/{row.id}/redeliver")
    assert (reply.status_code, reply.json()["status"], reply.json()["attempts"]) == (202, "pending", 1)
    for _ in range(2):
        deliver(courier)
        due_now(hands.store)
    deliver(courier)
    for _ in range(3):
        assert receiver.came.acquire(timeout=30)
    assert {(message.headers["webhook-id"], message.body) for message in receiver.messages} == {(row.id, row.body.encode())}


@pytest.mark.parametrize(("asked_for", "wait"), [("90", 90.0), ("1", 5.0), ("999999999999", 86_400.0), ("soon", 5.0), ("-5", 5.0)])
async def test_a_receiver_that_is_busy_says_when_to_come_again(
    client: httpx.AsyncClient, hands: Hands, receiver: Receiver, courier: Courier, asked_for: str, wait: float
) -> None:
    await made(client, receiver, events=["job.queued"])
    await submitted(client)
    receiver.answers.append((429, {"Retry-After": asked_for}, b""))
    deliver(courier)
    (row,) = outbox(hands.store)
    assert wait - 1 < row.next_attempt_at - row.last_attempt_at < wait + 60


async def test_a_receiver_that_is_gone_is_told_nothing_more(
    client: httpx.AsyncClient, hands: Hands, receiver: Receiver, courier: Courier
) -> None:
    webhook = await made(client, receiver)
    await submitted(client)
    receiver.answers.append((410, {}, b""))
    deliver(courier)
    shown = (await client.get(f"/v1/webhooks/{webhook['id']}")).json()
    assert (shown["enabled"], shown["disabled_reason"]) == (False, "the receiver answered 410 Gone")
    await submitted(client)
    assert [row.state for row in outbox(hands.store)] == ["dead"]


async def test_redirects_are_not_followed(client: httpx.AsyncClient, receiver: Receiver) -> None:
    webhook = await made(client, receiver)
    receiver.answers.append((307, {"Location": "/elsewhere"}, b""))
    reply = (await client.post(f"/v1/webhooks/{webhook['id']}/test")).json()
    assert (reply["status"], reply["status_code"], "not followed" in reply["error"]) == ("dead", 307, True)
    assert [message.path for message in receiver.messages] == ["/hooks?from=ridgeline"]


async def test_a_test_is_sent_now_and_answers_with_what_became_of_it(client: httpx.AsyncClient, receiver: Receiver) -> None:
    webhook = await made(client, receiver, events=["job.failed"], enabled=False)
    receiver.answers.append((200, {}, b"thank you"))
    reply = await client.post(f"/v1/webhooks/{webhook['id']}/test")
    shown = reply.json()
    assert (reply.status_code, shown["status"], shown["status_code"], shown["reply"]) == (200, "delivered", 200, "thank you")
    assert (shown["type"], shown["attempts"], shown["job_id"]) == ("webhook.test", 1, None)
    told = standardwebhooks.Webhook(webhook["secret"]).verify(receiver.messages[0].body, receiver.messages[0].headers)
    assert told["data"] == {"webhook_id": webhook["id"]}
    assert receiver.messages[0].headers["webhook-id"] == shown["id"]


async def test_after_a_rotation_both_secrets_verify_until_the_old_one_expires(
    client: httpx.AsyncClient, hands: Hands, receiver: Receiver
) -> None:
    first = await made(client, receiver)
    rotated = await client.post(f"/v1/webhooks/{first['id']}/rotate-secret", json={"overlap_hours": 1})
    second = rotated.json()
    assert second["secret"] != first["secret"]
    assert second["previous_secret_expires_at"] > second["updated_at"]
    await client.post(f"/v1/webhooks/{first['id']}/test")
    assert receiver.messages[0].headers["webhook-signature"].count("v1,") == 2
    for secret in (first["secret"], second["secret"]):
        standardwebhooks.Webhook(secret).verify(receiver.messages[0].body, receiver.messages[0].headers)
    with hands.store.write() as connection:
        connection.execute(update(tables.webhooks).values(previous_secret_until=1.0))
    await client.post(f"/v1/webhooks/{first['id']}/test")
    standardwebhooks.Webhook(second["secret"]).verify(receiver.messages[1].body, receiver.messages[1].headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(first["secret"]).verify(receiver.messages[1].body, receiver.messages[1].headers)
    leaked = await client.post(f"/v1/webhooks/{first['id']}/rotate-secret", json={"overlap_hours": 0})
    assert leaked.json()["previous_secret_expires_at"] is None


async def test_the_secret_is_shown_once_and_is_nowhere_else(
    client: httpx.AsyncClient, hands: Hands, receiver: Receiver, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    first = await client.post("/v1/webhooks", json={"url": receiver.url})
    here = f"/v1/webhooks/{first.json()['id']}"
    rotated = await client.post(f"{here}/rotate-secret")
    assert {first.headers["cache-control"], rotated.headers["cache-control"]} == {"no-store"}
    await submitted(client)
    secrets = {first.json()["secret"], rotated.json()["secret"]}
    others = [
        await client.get("/v1/webhooks"),
        await client.get(here),
        await client.patch(here, json={"description": "x"}),
        await client.post(f"{here}/test"),
        await client.get(f"{here}/deliveries"),
        await client.patch(here, json={"url": "https://127.0.0.1:22/", "secret": "mine"}),
        await client.post(f"{here}/rotate-secret", json={"overlap_hours": -1}),
    ]
    row = webhooks.get(hands.store, "default", first.json()["id"])
    told = [reply.text for reply in others] + [repr(row), capsys.readouterr().err, caplog.text]
    told += [str(message) for message in receiver.messages]
    for secret in secrets:
        assert not any(secret.removeprefix("whsec_") in text for text in told)
    assert {row.secret, row.previous_secret} == secrets
    assert repr(receiver.url) not in repr(row)


async def test_with_a_key_of_the_operators_no_secret_is_stored_and_another_key_signs_nothing(
    sqlite_store: Store, open_settings: Settings, receiver: Receiver, serve: Any
) -> None:
    keyed = open_settings.model_copy(update={"secret_key": SecretStr("k" * 32)})
    async with serve(create_app(keyed)) as client:
        webhook = await made(client, receiver)
        secret = webhook["secret"]
        await client.post(f"/v1/webhooks/{webhook['id']}/test")
        standardwebhooks.Webhook(secret).verify(receiver.messages[0].body, receiver.messages[0].headers)
        stored = webhooks.get(sqlite_store, "default", webhook["id"]).secret
        assert secret not in stored
        assert secret.removeprefix("whsec_") not in stored
    for key in (None, SecretStr("K" * 32)):
        async with serve(create_app(keyed.model_copy(update={"secret_key": key}))) as client:
            reply = (await client.post(f"/v1/webhooks/{webhook['id']}/test")).json()
            assert "RIDGELINE_SECRET_KEY" in reply["error"]
    assert len(receiver.messages) == 1


async def test_a_url_that_may_not_be_is_refused_with_its_pointer(settings: Settings, sqlite_store: Store, serve: Any) -> None:
    async with serve(create_app(settings)) as client:
        for url in ("http://127.0.0.1:8080/", "https://10.0.0.1/", "https://[::1]/", "https://user:pass@example.com/"):
            reply = await client.post("/v1/webhooks", json={"url": url})
            (fault,) = reply.json()["errors"]
            assert (reply.status_code, fault["pointer"]) == (422, "/url")
            assert "pass" not in reply.text.replace("password", "")
        assert (await client.get("/v1/webhooks")).json()["data"] == []


async def test_a_name_that_leads_inside_by_the_time_of_the_delivery_is_not_called(
    client: httpx.AsyncClient, sqlite_store: Store, settings: Settings, receiver: Receiver
) -> None:
    answers = iter([["93.184.215.14"], ["127.0.0.1"]])
    courier = Courier(sqlite_store, settings, threading.Event(), resolve=lambda *_: next(answers))
    url = f"https://rebinding.example:{receiver.port}/"
    courier.check(url)
    webhook = await made(client, receiver)
    with sqlite_store.write() as connection:
        connection.execute(update(tables.webhooks).values(url=url))
    await submitted(client)
    deliver(courier)
    (row,) = outbox(sqlite_store)
    assert (row.attempts, row.state, row.status_code) == (1, "pending", None)
    assert "not public" in row.error
    assert receiver.messages == []
    assert webhook["id"] == row.webhook_id


async def test_a_slow_receiver_gets_one_message_at_a_time_and_keeps_no_other_waiting(
    client: httpx.AsyncClient, hands: Hands, receiver: Receiver, courier: Courier
) -> None:
    with Receiver() as quick:
        slow, fast = [(await made(client, each, events=["job.queued"]))["id"] for each in (receiver, quick)]
        receiver.hold.clear()
        for _ in range(3):
            await submitted(client)
        assert courier.round() == 2
        for _ in range(2):
            assert quick.came.acquire(timeout=30)
            while not courier.round():  # until it is noted that the one before has arrived
                threading.Event().wait(0.01)
        assert quick.came.acquire(timeout=30)
        assert receiver.came.acquire(timeout=30)
        assert (len(receiver.messages), len(quick.messages)) == (1, 3)
        attempts = {
            webhook_id: [row.attempts for row in outbox(hands.store) if row.webhook_id == webhook_id] for webhook_id in (slow, fast)
        }
        assert attempts == {slow: [1, 0, 0], fast: [1, 1, 1]}
        receiver.hold.set()
        courier.join(30)
        deliver(courier)
        assert len(receiver.messages) == 3


async def test_later_news_of_a_job_wait_for_earlier_ones_but_not_for_ever_and_other_jobs_do_not(
    client: httpx.AsyncClient, hands: Hands, receiver: Receiver, courier: Courier
) -> None:
    await made(client, receiver)
    first = await submitted(client)
    receiver.answers.append((500, {}, b""))
    deliver(courier)
    hands.claim(first)
    other = await submitted(client)
    deliver(courier)
    heard = [(row.job_id == other, row.type) for row in outbox(hands.store) if row.state == "delivered"]
    assert heard == [(True, "job.queued")]
    for _ in range(2):
        receiver.answers.append((500, {}, b""))
        with hands.store.write() as connection:
            connection.execute(update(tables.deliveries).where(tables.deliveries.c.attempts > 0).values(next_attempt_at=0.0))
        deliver(courier)
    states = {(row.job_id == other, row.type): row.state for row in outbox(hands.store)}
    assert states == {(False, "job.queued"): "pending", (False, "job.running"): "delivered", (True, "job.queued"): "delivered"}


async def test_two_processes_do_not_both_send(client: httpx.AsyncClient, hands: Hands, receiver: Receiver) -> None:
    await made(client, receiver)
    await submitted(client)
    (parcel,) = deliveries.claim(hands.store, 8)
    assert deliveries.claim(hands.store, 8) == []
    due_now(hands.store)
    (again,) = deliveries.claim(hands.store, 8)
    assert (again.delivery.id, again.delivery.attempts, parcel.delivery.attempts) == (parcel.delivery.id, 2, 1)


async def test_another_tenants_webhook_is_a_404_on_every_route(client: httpx.AsyncClient, hands: Hands, receiver: Receiver) -> None:
    webhook = await made(client, receiver)
    job_id = await submitted(client)
    delivery_id = outbox(hands.store)[0].id
    assert (await client.get(f"/v1/webhooks/{webhook['id']}/deliveries/{delivery_id}")).status_code == 200
    with hands.store.write() as connection:
        connection.execute(update(tables.webhooks).values(tenant="another"))
    for method, path in (
        ("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/test"), ("POST", "/rotate-secret"), ("GET", "/deliveries"),
        ("GET", f"/deliveries/{delivery_id}"), ("POST", f"/deliveries/{delivery_id}/redeliver"),
    ):  # fmt: skip
        for webhook_id in (webhook["id"], UNKNOWN, "x", "%00", webhook["id"].upper()):
            reply = await client.request(method, f"/v1/webhooks/{webhook_id}{path}", **({"json": {}} if method == "PATCH" else {}))
            assert (reply.status_code, reply.json()["code"]) == (404, "not_found"), (method, path, webhook_id)
    assert (await client.get("/v1/webhooks")).json()["data"] == []
    before = len(outbox(hands.store))
    await client.post(f"/v1/jobs/{job_id}/cancel")
    assert len(outbox(hands.store)) == before
    assert receiver.messages == []


async def test_a_webhook_is_changed_in_part_and_deleted_with_its_log(client: httpx.AsyncClient, hands: Hands, receiver: Receiver) -> None:
    webhook = await made(client, receiver, description="chat")
    here = f"/v1/webhooks/{webhook['id']}"
    changed = (await client.patch(here, json={"events": ["job.failed"], "description": None})).json()
    assert (changed["events"], changed["description"], changed["url"]) == (["job.failed"], None, receiver.url)
    assert (await client.patch(here, json={})).json() == changed == (await client.get(here)).json()
    for body, pointer in (
        ({"url": None}, "/url"),
        ({"events": []}, "/events"),
        ({"events": ["job.lost"]}, "/events/0"),
        ({"secret": "x"}, "/secret"),
    ):
        reply = await client.patch(here, json=body)
        assert (reply.status_code, reply.json()["errors"][0]["pointer"]) == (422, pointer)
    await client.patch(here, json={"events": ["job.queued"]})
    await submitted(client)
    assert len(outbox(hands.store)) == 1
    assert ((await client.delete(here)).status_code, (await client.delete(here)).status_code) == (204, 404)
    assert outbox(hands.store) == []


async def test_the_log_is_turned_page_by_page_under_its_filters(client: httpx.AsyncClient, receiver: Receiver) -> None:
    webhook = await made(client, receiver)
    here = f"/v1/webhooks/{webhook['id']}/deliveries"
    for _ in range(3):
        await client.post(f"/v1/webhooks/{webhook['id']}/test")
    await submitted(client)
    found, query = [], {"limit": "2", "status": "delivered"}
    page = (await client.get(here, params=query)).json()
    while True:
        found += [row["id"] for row in page["data"]]
        if not page["has_more"]:
            break
        page = (await client.get(here, params=query | {"cursor": page["next_cursor"]})).json()
    assert len(found) == len(set(found)) == 3
    assert found == sorted(found, reverse=True)
    first = (await client.get(here, params={"limit": "1"})).json()["next_cursor"]
    for cursor in (first, "x", "%00", "é", "W10"):
        refused = await client.get(here, params=query | {"cursor": cursor})
        assert (refused.status_code, refused.json()["code"]) == (400, "bad_cursor")


async def test_there_may_be_so_many_webhooks_and_no_more(
    client: httpx.AsyncClient, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "MOST", 1)
    await made(client, receiver)
    assert (await client.post("/v1/webhooks", json={"url": receiver.url})).status_code == 409


async def test_old_deliveries_are_forgotten(client: httpx.AsyncClient, hands: Hands, receiver: Receiver) -> None:
    await made(client, receiver)
    await submitted(client)
    await submitted(client)
    assert deliveries.prune(hands.store) == 0
    with hands.store.write() as connection:
        old = outbox(hands.store)[0].id
        connection.execute(update(tables.deliveries).where(tables.deliveries.c.id == old).values(created_at=1.0))
    assert deliveries.prune(hands.store) == 1
    assert len(outbox(hands.store)) == 1


async def test_the_courier_ends_with_the_service_even_while_a_receiver_hangs(
    client: httpx.AsyncClient, receiver: Receiver, sqlite_store: Store, open_settings: Settings
) -> None:
    await made(client, receiver)
    await submitted(client)
    receiver.hold.clear()
    courier = Courier(sqlite_store, open_settings, threading.Event())
    courier.start()
    assert receiver.came.acquire(timeout=30)
    courier.stop(0.1)
    courier._thread.join(30)
    assert not courier._thread.is_alive()
    receiver.hold.set()
    courier.join(30)


def test_what_can_be_asked_for_is_what_is_told() -> None:
    assert get_args(asked.JobEvent) == tuple(kind.value for kind in OF_STATE.values())


@pytest.mark.parametrize("kind", EventType)
def test_every_message_is_described_with_an_example_that_is_valid(kind: EventType) -> None:
    document = create_app().openapi()
    operation = document["webhooks"][kind.value]["post"]
    content = operation["requestBody"]["content"]["application/json"]
    assert {parameter["name"] for parameter in operation["parameters"]} == {"webhook-id", "webhook-timestamp", "webhook-signature"}
    assert content["example"] == announced.example(kind)
    jsonschema.validate(content["example"], {**content["schema"], "components": document["components"]})

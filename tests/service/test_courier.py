"""How many messages are under way, in which order a webhook gets its own, and that a sender outlives what fails; how they are signed."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import standardwebhooks
from pydantic import SecretStr

from contract import ids
from contract.errors import ConfigurationError, OperatorError, StoreUnavailableError
from contract.settings import Settings
from contract.spec import JobSpec
from contract.store import Store, deliveries, jobs, webhooks
from contract.store.webhooks import Webhook
from service.hooks import courier as couriers
from service.hooks import signing
from service.hooks.courier import Courier
from tests.service.receiver import Receiver

SPEC = JobSpec.model_validate({"dataset": {"kind": "fake"}})
KEY = SecretStr("k" * 32)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


@pytest.fixture
def courier(sqlite_store: Store) -> Iterator[Courier]:
    made = Courier(sqlite_store, Settings(webhook_allow_private=True, reconcile_seconds=3600), threading.Event())
    yield made
    made.join(30)


def subscribed(store: Store, url: str) -> Webhook:
    webhook_id = ids.webhook()
    secret, _ = signing.new(webhook_id, None)
    return webhooks.add(store, "default", webhook_id, secret, url=url, events=["job.queued"], enabled=True, description=None)


def test_no_more_messages_are_under_way_than_there_may_be(
    sqlite_store: Store, receiver: Receiver, courier: Courier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(couriers, "AT_ONCE", 1)
    for _ in range(2):
        subscribed(sqlite_store, receiver.url)
    jobs.submit(sqlite_store, "default", SPEC)
    receiver.hold.clear()
    assert [courier.round(), courier.round()] == [1, 0]
    receiver.hold.set()
    courier.join(30)
    assert [courier.round(), courier.round()] == [1, 0]


def test_a_webhook_gets_its_next_message_as_soon_as_it_has_the_one_before(
    sqlite_store: Store, receiver: Receiver, courier: Courier
) -> None:
    """The courier looks once an hour of its own accord."""
    subscribed(sqlite_store, receiver.url)
    for _ in range(3):
        jobs.submit(sqlite_store, "default", SPEC)
    courier.start()
    assert all(receiver.came.acquire(timeout=30) for _ in range(3))
    told = [message.headers for message in receiver.messages]
    assert {(headers["content-type"], headers["user-agent"]) for headers in told} == {("application/json", "Ridgeline-Webhooks/1")}
    courier.stop(30)


@pytest.mark.parametrize("error", [StoreUnavailableError("away"), RuntimeError("a fault of ours")], ids=["store", "other"])
def test_a_round_that_fails_is_told_of_once_and_the_next_one_is_made(
    sqlite_store: Store, error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rounds, over = iter([error, error, None, error]), threading.Event()

    def claim(*_: object) -> list[Any]:
        if failed := next(rounds, over):
            if failed is error:
                raise error
            over.set()
        return []

    monkeypatch.setattr(deliveries, "claim", claim)
    courier = Courier(sqlite_store, Settings(reconcile_seconds=0.05), threading.Event())
    courier.start()
    assert over.wait(30)
    courier.stop(30)
    assert caplog.text.count("courier failed") == 2


def test_an_attempt_that_cannot_be_noted_leaves_room_for_others(
    sqlite_store: Store, receiver: Receiver, courier: Courier, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: object) -> None:
        raise StoreUnavailableError("away")

    monkeypatch.setattr(deliveries, "note", away)
    webhook = subscribed(sqlite_store, receiver.url)
    jobs.submit(sqlite_store, "default", SPEC)
    assert courier.round() == 1
    courier.join(30)
    assert courier._under_way == set()
    assert all(word in caplog.text for word in ("not noted", webhook.id, "StoreUnavailableError"))


def test_old_messages_are_looked_for_now_and_then_not_in_each_round(courier: Courier, monkeypatch: pytest.MonkeyPatch) -> None:
    pruned: list[object] = []
    monkeypatch.setattr(couriers, "_PRUNE_ROUNDS", 3)
    monkeypatch.setattr(deliveries, "prune", pruned.append)
    for _ in range(7):
        courier.round()
    assert len(pruned) == 2


# --- Signatures ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def parcel(sqlite_store: Store) -> deliveries.Parcel:
    subscribed(sqlite_store, "https://example.com/")
    jobs.submit(sqlite_store, "default", SPEC)
    (found,) = deliveries.claim(sqlite_store, 1)
    return found


@pytest.mark.parametrize("key", [None, KEY], ids=["stored", "derived"])
def test_of_two_secrets_the_newer_one_signs_first_and_the_older_one_until_its_end(parcel: deliveries.Parcel, key: SecretStr | None) -> None:
    now = datetime.now(UTC)
    (new, new_secret), (old, old_secret) = (signing.new(parcel.webhook.id, key) for _ in range(2))
    until = now + timedelta(minutes=1)
    webhook = replace(parcel.webhook, secret=new, previous_secret=old, previous_secret_until=until.timestamp())

    def signatures(at: datetime) -> list[str]:
        headers = signing.headers(webhook, parcel.delivery, key, at)
        assert headers["webhook-timestamp"] == str(int(at.timestamp()))
        return headers["webhook-signature"].split(" ")

    def expected(secret: str, at: datetime) -> str:
        return standardwebhooks.Webhook(secret).sign(parcel.delivery.id, at, parcel.delivery.body)

    assert signatures(now) == [expected(new_secret, now), expected(old_secret, now)]
    assert signatures(until) == [expected(new_secret, until)]


def test_a_derived_secret_is_of_its_webhook_its_key_and_its_moment_alone() -> None:
    made = [signing.new(webhook_id, key) for webhook_id in ("wh_a", "wh_b") for key in (KEY, SecretStr("K" * 32)) for _ in range(2)]
    assert len({secret for _, secret in made}) == 8
    assert all(len(secret) > 40 for _, secret in made)
    stored, secret = made[0]
    assert signing.reveal("wh_a", stored, KEY) == secret
    refused: list[Callable[[], str]] = [lambda: signing.reveal("wh_b", stored, KEY), lambda: signing.reveal("wh_a", stored, None)]
    for ask in refused:
        with pytest.raises(ConfigurationError, match="RIDGELINE_SECRET_KEY"):
            ask()


def test_a_key_that_happens_to_share_a_digit_of_the_mark_reveals_nothing() -> None:
    stored, _ = signing.new("wh_a", KEY)
    for number in range(64):
        with pytest.raises(ConfigurationError):
            signing.reveal("wh_a", stored, SecretStr(f"{number:032}"))


def test_a_secret_from_before_the_operator_gave_a_key_signs_on() -> None:
    stored, secret = signing.new("wh_a", None)
    assert stored == signing.reveal("wh_a", stored, KEY) == secret
    assert signing.new("wh_a", None)[1] != secret


def test_names_that_take_long_to_look_up_hold_a_few_threads_and_the_next_is_told_to_come_again(sqlite_store: Store) -> None:
    begun, answered = threading.Semaphore(0), threading.Event()

    def resolve(host: str, port: int) -> list[str]:
        begun.release()
        assert answered.wait(30)
        return ["93.184.216.34"]

    courier = Courier(sqlite_store, Settings(), threading.Event(), resolve)
    with ThreadPoolExecutor(couriers.CHECKS_AT_ONCE) as clients:
        looks = [clients.submit(courier.check, "https://example.com/") for _ in range(couriers.CHECKS_AT_ONCE)]
        for _ in looks:
            assert begun.acquire(timeout=30)
        with pytest.raises(OperatorError, match="name server"):
            courier.check("https://example.com/")
        answered.set()
        assert len({str(look.result(30).addresses) for look in looks}) == 1
    assert courier.check("https://example.com/").host == "example.com"

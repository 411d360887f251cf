"""Which message is next, who may say what became of it, and what a webhook that changed meanwhile is spared."""

import pytest
from sqlalchemy import update

from contract import ids
from contract.errors import NotFoundError
from contract.spec import JobSpec
from contract.store import Store, deliveries, jobs, tables, webhooks
from contract.store.deliveries import KEPT_SECONDS, LEASE_SECONDS, Parcel
from contract.store.webhooks import Webhook
from contract.webhooks import DeliveryState, Outcome

SPEC = JobSpec.model_validate({"dataset": {"kind": "fake"}})
ARRIVED, GONE, FAILED = Outcome(status_code=204), Outcome(status_code=410), Outcome(error="refused")


def subscribed(store: Store, tenant: str = "a", **fields: object) -> Webhook:
    told = {"url": "https://example.com/", "events": ["job.queued"], "enabled": True, "description": None}
    return webhooks.add(store, tenant, ids.webhook(), "whsec_x", **told | fields)


def submit(store: Store, tenant: str = "a") -> str:
    return jobs.submit(store, tenant, SPEC).job.id


def later(store: Store, seconds: float) -> None:
    """As if so much time had passed."""
    hooks, sent = tables.webhooks, tables.deliveries
    with store.write() as connection:
        connection.execute(update(hooks).values(lease_until=hooks.c.lease_until - seconds))
        times = {column: column - seconds for column in (sent.c.next_attempt_at, sent.c.created_at)}
        connection.execute(update(sent).values(times))


def claimed(store: Store) -> Parcel:
    (parcel,) = deliveries.claim(store, 8)
    return parcel


def test_a_webhook_hears_of_its_own_tenants_jobs_only_while_it_is_enabled_and_of_what_it_asks_for(store: Store) -> None:
    own = subscribed(store)
    subscribed(store, "b")
    subscribed(store, enabled=False)
    subscribed(store, events=["job.failed"])
    submit(store)
    parcels = deliveries.claim(store, 8)
    assert [(parcel.webhook.id, parcel.delivery.type) for parcel in parcels] == [(own.id, "job.queued")]


def test_who_was_served_longest_ago_is_served_next(sqlite_store: Store) -> None:
    hooks = [subscribed(sqlite_store).id for _ in range(3)]
    submit(sqlite_store)
    submit(sqlite_store)
    later(sqlite_store, 10)
    order = []
    for _ in range(6):
        (parcel,) = deliveries.claim(sqlite_store, 1)
        deliveries.note(sqlite_store, parcel, ARRIVED)
        order.append(parcel.webhook.id)
    assert order[:3] == order[3:]
    assert set(order) == set(hooks)


def test_a_message_is_not_sent_by_two_until_the_lease_of_the_first_is_over(sqlite_store: Store) -> None:
    subscribed(sqlite_store)
    submit(sqlite_store)
    assert claimed(sqlite_store).delivery.attempts == 1
    later(sqlite_store, LEASE_SECONDS - 5)
    assert deliveries.claim(sqlite_store, 8) == []
    later(sqlite_store, 10)
    assert claimed(sqlite_store).delivery.attempts == 2


@pytest.mark.parametrize("late", [FAILED, GONE], ids=["failed", "gone"])
def test_a_sender_whose_lease_is_over_says_no_more_of_a_message_that_arrived(sqlite_store: Store, late: Outcome) -> None:
    subscribed(sqlite_store)
    submit(sqlite_store)
    slow = claimed(sqlite_store)
    later(sqlite_store, LEASE_SECONDS + 1)
    deliveries.note(sqlite_store, claimed(sqlite_store), ARRIVED)
    noted = deliveries.note(sqlite_store, slow, late)
    assert noted is not None
    assert (noted.state, noted.status_code, noted.error) == (DeliveryState.DELIVERED, 204, None)


def test_a_late_sender_does_not_let_go_of_the_webhook_for_the_one_that_holds_it(sqlite_store: Store) -> None:
    subscribed(sqlite_store)
    submit(sqlite_store)
    submit(sqlite_store)
    slow = claimed(sqlite_store)
    later(sqlite_store, LEASE_SECONDS + 1)
    claimed(sqlite_store)
    deliveries.note(sqlite_store, slow, ARRIVED)
    assert deliveries.claim(sqlite_store, 8) == []


def test_a_webhook_that_leads_elsewhere_by_now_is_not_disabled_by_who_answered_there_before(sqlite_store: Store) -> None:
    webhook = subscribed(sqlite_store)
    submit(sqlite_store)
    parcel = claimed(sqlite_store)
    webhooks.change(sqlite_store, "a", webhook.id, url="https://example.org/")
    noted = deliveries.note(sqlite_store, parcel, GONE)
    assert noted is not None
    assert noted.state is DeliveryState.DEAD
    assert webhooks.get(sqlite_store, "a", webhook.id).enabled


def test_an_answer_about_what_was_deleted_is_dropped(sqlite_store: Store) -> None:
    webhook = subscribed(sqlite_store)
    submit(sqlite_store)
    parcel = claimed(sqlite_store)
    webhooks.remove(sqlite_store, "a", webhook.id)
    assert deliveries.note(sqlite_store, parcel, ARRIVED) is None


def test_a_test_is_not_sent_again_while_it_is_under_way_but_after_its_sender_was_killed(sqlite_store: Store) -> None:
    webhook = subscribed(sqlite_store)
    sent = deliveries.test(sqlite_store, "a", webhook.id)
    assert deliveries.claim(sqlite_store, 8) == []
    later(sqlite_store, LEASE_SECONDS + 1)
    again = claimed(sqlite_store)
    assert (again.delivery.id, again.delivery.attempts) == (sent.delivery.id, 2)
    with pytest.raises(NotFoundError):
        deliveries.test(sqlite_store, "b", webhook.id)


def test_a_delivery_made_again_begins_anew_and_one_that_waits_keeps_count(sqlite_store: Store) -> None:
    webhook = subscribed(sqlite_store)
    submit(sqlite_store)
    parcel = claimed(sqlite_store)
    deliveries.note(sqlite_store, parcel, FAILED)
    waiting = deliveries.redeliver(sqlite_store, webhook, parcel.delivery.id)
    assert (waiting.attempts, waiting.attempts_before) == (1, 0)
    deliveries.note(sqlite_store, claimed(sqlite_store), ARRIVED)
    anew = deliveries.redeliver(sqlite_store, webhook, parcel.delivery.id)
    assert (anew.state, anew.attempts, anew.attempts_before, anew.delivered_at) == (DeliveryState.PENDING, 2, 2, None)
    other = subscribed(sqlite_store)
    for look in (deliveries.get, deliveries.redeliver):
        with pytest.raises(NotFoundError):
            look(sqlite_store, other, parcel.delivery.id)


def test_deliveries_are_kept_for_a_week_and_forgotten_a_thousand_at_once(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "_PRUNED_AT_ONCE", 2)
    subscribed(sqlite_store)
    for _ in range(3):
        submit(sqlite_store)
    later(sqlite_store, KEPT_SECONDS - 60)
    assert (KEPT_SECONDS, deliveries.prune(sqlite_store)) == (7 * 86_400, 0)
    later(sqlite_store, 120)
    assert [deliveries.prune(sqlite_store) for _ in range(3)] == [2, 1, 0]

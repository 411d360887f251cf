"""Who sends which message next, and what is noted of each attempt.

A webhook is held by one sender at a time, for a lease, so that two processes do not both send and a slow receiver gets one message
after the other. An attempt is counted before it is made: one whose sender is killed is made again, under the same id.
"""

import secrets
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, delete, exists, insert, not_, select, update

from contract import ids
from contract import webhooks as rules
from contract.errors import NotFoundError, StateConflictError
from contract.store import webhooks
from contract.store.engine import Store
from contract.store.tables import deliveries
from contract.store.tables import webhooks as hooks
from contract.store.webhooks import Webhook
from contract.webhooks import DeliveryState, EventType, Outcome

LEASE_SECONDS = 30.0
"""How long a sender holds a webhook; longer than any attempt may take."""
KEPT_SECONDS = 7 * 86_400.0
"""How long a delivery is remembered, whatever became of it."""
_PRUNED_AT_ONCE = 1000
_HOLDS_BACK = deliveries.alias("earlier")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one webhook. Its id is the message's, which several webhooks can share."""

    webhook_id: str
    id: str
    job_id: str | None
    type: str
    body: str = field(repr=False)
    state: DeliveryState
    attempts: int
    attempts_before: int
    next_attempt_at: float
    created_at: float
    last_attempt_at: float | None
    delivered_at: float | None
    status_code: int | None
    error: str | None
    duration_ms: float | None
    reply: str | None


@dataclass(frozen=True, slots=True)
class Parcel:
    """A delivery in the hands of a sender, its attempt counted already."""

    webhook: Webhook
    delivery: Delivery
    token: str | None
    """What proves that the sender still holds the webhook; None for a test, which does not hold it."""


def claim(store: Store, limit: int) -> list[Parcel]:
    """What is to be sent now: for each webhook that nobody holds its next message, for at most `limit` webhooks.

    Looks without a lock first: mostly there is nothing.
    """
    with store.read() as connection:
        if not connection.execute(_waiting(store.now(connection), 1)).first():
            return []
    with store.write() as connection:
        now = store.now(connection)
        found = [webhooks.from_row(row) for row in connection.execute(_waiting(now, limit)).mappings()]
        return [parcel for webhook in found if (parcel := _take(connection, webhook, now))]


def note(store: Store, parcel: Parcel, outcome: Outcome) -> Delivery | None:
    """Write down what became of an attempt, and let go of the webhook. None where the delivery is gone.

    A message that arrived has arrived, whoever sends it by now; a failure counts only while its attempt is the newest.
    """
    tries = parcel.delivery.attempts - parcel.delivery.attempts_before
    wait = rules.wait_seconds(outcome, tries) if parcel.token else None
    with store.write() as connection:
        now = store.now(connection)
        mine = and_(_is(parcel.delivery.webhook_id, parcel.delivery.id), deliveries.c.state == DeliveryState.PENDING.value)
        if not outcome.arrived:
            mine = and_(mine, deliveries.c.attempts == parcel.delivery.attempts)
        connection.execute(update(deliveries).where(mine).values(**_noted(outcome.plain(), wait, now)))
        if outcome.is_gone:
            _disable(connection, parcel.webhook, now)
        if parcel.token:
            held = and_(hooks.c.id == parcel.webhook.id, hooks.c.lease_token == parcel.token)
            connection.execute(update(hooks).where(held).values(lease_until=now, lease_token=None))
        row = connection.execute(select(deliveries).where(_is(parcel.webhook.id, parcel.delivery.id))).mappings().one_or_none()
    return _from_row(row) if row else None


def test(store: Store, tenant: str, webhook_id: str) -> Parcel:
    """A test message, to be sent now by the caller, whatever else the webhook is told meanwhile. Raises NotFoundError."""
    webhook = webhooks.get(store, tenant, webhook_id)
    with store.write() as connection:
        now = store.now(connection)
        body = rules.body(EventType.TEST, now, {"webhook_id": webhook.id})
        # Not due while its first attempt can be under way.
        times = {"created_at": now, "last_attempt_at": now, "next_attempt_at": now + LEASE_SECONDS}
        counts = {"seq": 0, "attempts": 1, "attempts_before": 0, "state": DeliveryState.PENDING.value}
        delivery_id = ids.event()
        row = {"webhook_id": webhook.id, "id": delivery_id, "type": EventType.TEST.value, "body": body, **times, **counts}
        connection.execute(insert(deliveries).values(row))
        return Parcel(webhook, _get(connection, webhook.id, delivery_id), token=None)


def page(store: Store, webhook: Webhook, limit: int, before_id: str | None = None, state: DeliveryState | None = None) -> list[Delivery]:
    """Up to `limit` deliveries of the webhook, newest first, those older than `before_id`."""
    query = select(deliveries).where(deliveries.c.webhook_id == webhook.id).order_by(deliveries.c.id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(deliveries.c.id < before_id)
    if state is not None:
        query = query.where(deliveries.c.state == state.value)
    with store.read() as connection:
        return [_from_row(row) for row in connection.execute(query).mappings()]


def get(store: Store, webhook: Webhook, delivery_id: str) -> Delivery:
    """Raises NotFoundError, also for another webhook's."""
    with store.read() as connection:
        return _get(connection, webhook.id, delivery_id)


def redeliver(store: Store, webhook: Webhook, delivery_id: str) -> Delivery:
    """Have a delivery made again, soon and under the same id, whatever became of it. Raises NotFoundError, StateConflictError."""
    if not webhook.enabled:
        raise StateConflictError(f"webhook {webhook.id} is disabled; enable it first")
    with store.write() as connection:
        before = _get(connection, webhook.id, delivery_id, locked=True)
        anew = {} if before.state is DeliveryState.PENDING else {"attempts_before": before.attempts, "delivered_at": None}
        again = {"state": DeliveryState.PENDING.value, "next_attempt_at": store.now(connection), **anew}
        connection.execute(update(deliveries).where(_is(webhook.id, delivery_id)).values(again))
        return _get(connection, webhook.id, delivery_id)


def prune(store: Store) -> int:
    """Forget deliveries that are old, at most a thousand at once; how many there were."""
    with store.write() as connection:
        old = select(deliveries.c.webhook_id, deliveries.c.id).where(deliveries.c.created_at < store.now(connection) - KEPT_SECONDS)
        found = connection.execute(old.limit(_PRUNED_AT_ONCE)).all()
        for row in found:
            connection.execute(delete(deliveries).where(_is(row.webhook_id, row.id)))
    return len(found)


def _waiting(now: float, limit: int) -> Any:
    """The webhooks that have something due and that nobody holds; those served longest ago first."""
    due = exists().where(deliveries.c.webhook_id == hooks.c.id, _is_due(now)).correlate(hooks)
    free = and_(hooks.c.enabled == 1, hooks.c.lease_until <= now)
    return select(hooks).where(free, due).order_by(hooks.c.lease_until, hooks.c.id).limit(limit)


def _is_due(now: float) -> ColumnElement[bool]:
    earlier = _HOLDS_BACK.c
    held_back = exists().where(
        earlier.webhook_id == deliveries.c.webhook_id,
        earlier.job_id == deliveries.c.job_id,
        earlier.seq < deliveries.c.seq,
        earlier.state == DeliveryState.PENDING.value,
        earlier.attempts - earlier.attempts_before < rules.IN_ORDER_ATTEMPTS,
    )
    return and_(
        deliveries.c.state == DeliveryState.PENDING.value, deliveries.c.next_attempt_at <= now, not_(held_back.correlate(deliveries))
    )


def _take(connection: Connection, webhook: Webhook, now: float) -> Parcel | None:
    token = secrets.token_hex(16)
    free = and_(hooks.c.id == webhook.id, hooks.c.enabled == 1, hooks.c.lease_until <= now)
    taken = update(hooks).where(free).values(lease_until=now + LEASE_SECONDS, lease_token=token)
    if connection.execute(taken).rowcount != 1:
        return None  # another process was faster
    oldest = select(deliveries).where(deliveries.c.webhook_id == webhook.id, _is_due(now))
    row = connection.execute(oldest.order_by(deliveries.c.created_at, deliveries.c.seq, deliveries.c.id).limit(1)).mappings().one_or_none()
    if row is None:
        connection.execute(update(hooks).where(hooks.c.id == webhook.id).values(lease_until=now, lease_token=None))
        return None
    attempt = update(deliveries).where(_is(webhook.id, row["id"])).values(attempts=row["attempts"] + 1, last_attempt_at=now)
    connection.execute(attempt)
    return Parcel(webhook, _get(connection, webhook.id, row["id"]), token)


def _noted(outcome: Outcome, wait: float | None, now: float) -> dict[str, Any]:
    told = {name: getattr(outcome, name) for name in ("status_code", "error", "duration_ms", "reply")}
    if outcome.arrived:
        return told | {"state": DeliveryState.DELIVERED.value, "delivered_at": now}
    if wait is None:
        return told | {"state": DeliveryState.DEAD.value}
    return told | {"next_attempt_at": now + wait}


def _disable(connection: Connection, webhook: Webhook, now: float) -> None:
    """Not a webhook that leads elsewhere by now: the answer was not about that."""
    same = and_(hooks.c.id == webhook.id, hooks.c.url == webhook.url)
    reason = "the receiver answered 410 Gone"
    connection.execute(update(hooks).where(same).values(enabled=0, disabled_reason=reason, updated_at=now))


def _is(webhook_id: str, delivery_id: str) -> ColumnElement[bool]:
    return and_(deliveries.c.webhook_id == webhook_id, deliveries.c.id == delivery_id)


def _get(connection: Connection, webhook_id: str, delivery_id: str, *, locked: bool = False) -> Delivery:
    query = select(deliveries).where(_is(webhook_id, delivery_id))
    row = connection.execute(query.with_for_update() if locked else query).mappings().one_or_none()
    if row is None:
        raise NotFoundError("delivery", delivery_id)
    return _from_row(row)


def _from_row(row: RowMapping) -> Delivery:
    values = {name: row[name] for name in Delivery.__slots__}
    return Delivery(**{**values, "state": DeliveryState(values["state"])})

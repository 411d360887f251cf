"""Which webhooks a tenant has: where they lead, what they want to hear, and what their messages are signed with."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, delete, func, insert, select, update

from contract.errors import NotFoundError, StateConflictError
from contract.store import tables
from contract.store.engine import Store
from contract.store.tables import deliveries, webhooks

MOST = 20
"""Webhooks a tenant may have: each move of each job writes a row for each of them."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where to a tenant wants to have told what. The secrets are as they are stored, and in no `repr`."""

    id: str
    tenant: str
    url: str = field(repr=False)
    """Can hold a secret of the receiver's in its path."""
    events: tuple[str, ...]
    description: str | None
    enabled: bool
    disabled_reason: str | None
    created_at: float
    updated_at: float
    secret: str = field(repr=False)
    previous_secret: str | None = field(repr=False)
    previous_secret_until: float | None


def add(store: Store, tenant: str, webhook_id: str, secret: str, **fields: Any) -> Webhook:
    """Write a new webhook down, with `url`, `events`, `enabled` and `description`. Raises StateConflictError where there are too many."""
    with store.write() as connection:
        count = select(func.count()).select_from(webhooks).where(webhooks.c.tenant == tenant)
        if connection.execute(count).scalar_one() >= MOST:
            raise StateConflictError(f"there are {MOST} webhooks, which is as many as there may be; delete one first")
        now = store.now(connection)
        row = {"id": webhook_id, "tenant": tenant, "secret": secret, "created_at": now, "updated_at": now, "lease_until": now}
        connection.execute(insert(webhooks).values(**row, **_plain(fields)))
        return _locked(connection, tenant, webhook_id)


def listed(store: Store, tenant: str) -> list[Webhook]:
    """The tenant's webhooks, newest first; there are never more than `MOST`."""
    query = select(webhooks).where(webhooks.c.tenant == tenant).order_by(webhooks.c.id.desc())
    with store.read() as connection:
        return [from_row(row) for row in connection.execute(query).mappings()]


def get(store: Store, tenant: str, webhook_id: str) -> Webhook:
    """Raises NotFoundError, also for another tenant's."""
    with store.read() as connection:
        row = connection.execute(select(webhooks).where(_is(tenant, webhook_id))).mappings().one_or_none()
    if row is None:
        raise NotFoundError("webhook", webhook_id)
    return from_row(row)


def change(store: Store, tenant: str, webhook_id: str, **fields: Any) -> Webhook:
    """The webhook with these fields changed. What waited while it was disabled is sent once it is enabled. Raises NotFoundError."""
    with store.write() as connection:
        _locked(connection, tenant, webhook_id)
        told = {"disabled_reason": None if fields["enabled"] else "on request"} if "enabled" in fields else {}
        values = _plain(fields) | told | {"updated_at": store.now(connection)}
        connection.execute(update(webhooks).where(_is(tenant, webhook_id)).values(values))
        return _locked(connection, tenant, webhook_id)


def rotate(store: Store, tenant: str, webhook_id: str, secret: str, overlap_seconds: float) -> Webhook:
    """The webhook with a new secret; the one before signs too for as long as the overlap. Raises NotFoundError."""
    with store.write() as connection:
        before = _locked(connection, tenant, webhook_id)
        now = store.now(connection)
        old = {"previous_secret": before.secret, "previous_secret_until": now + overlap_seconds} if overlap_seconds else _NO_PREVIOUS
        connection.execute(update(webhooks).where(_is(tenant, webhook_id)).values(secret=secret, updated_at=now, **old))
        return _locked(connection, tenant, webhook_id)


def remove(store: Store, tenant: str, webhook_id: str) -> None:
    """Forget the webhook and everything that was told to it, or was to be. Raises NotFoundError."""
    with store.write() as connection:
        _locked(connection, tenant, webhook_id)
        connection.execute(delete(deliveries).where(deliveries.c.webhook_id == webhook_id))
        connection.execute(delete(webhooks).where(_is(tenant, webhook_id)))


def from_row(row: RowMapping) -> Webhook:
    """The webhook that a whole row of the webhooks table holds."""
    values = {name: row[name] for name in Webhook.__slots__}
    return Webhook(**{**values, "events": tuple(values["events"]), "enabled": bool(values["enabled"])})


_NO_PREVIOUS: dict[str, Any] = {"previous_secret": None, "previous_secret_until": None}


def _is(tenant: str, webhook_id: str) -> ColumnElement[bool]:
    return and_(tables.webhooks.c.id == webhook_id, tables.webhooks.c.tenant == tenant)


def _locked(connection: Connection, tenant: str, webhook_id: str) -> Webhook:
    row = connection.execute(select(webhooks).where(_is(tenant, webhook_id)).with_for_update()).mappings().one_or_none()
    if row is None:
        raise NotFoundError("webhook", webhook_id)
    return from_row(row)


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields as columns hold them."""
    made = dict(fields)
    if "enabled" in made:
        made["enabled"] = int(made["enabled"])
    if "events" in made:
        made["events"] = list(made["events"])
    return made

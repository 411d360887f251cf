"""Which API keys there are: who holds them, what they may do, and until when."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, insert, or_, select, update

from contract import ids
from contract.errors import NotFoundError, StateConflictError, StoreUnavailableError
from contract.store.engine import Store, alone
from contract.store.tables import api_keys

PREFIX: Final = "rk_"
MOST_ACTIVE: Final = 2
"""Keys of one name that may be active at once: the old one and the new one while a rotation is under way."""
NOTE_SECONDS: Final = 60.0
"""How often the use of a key is written down: once for each request would be a write for each read."""
_RANDOM_BYTES: Final = 32


class Scope(StrEnum):
    """What a key may do."""

    JOBS_READ = "jobs:read"
    """Look at jobs, data sets and the state of the service."""
    JOBS_WRITE = "jobs:write"
    """Submit, change, cancel and delete jobs."""
    DATASETS_WRITE = "datasets:write"
    """Upload and delete data sets."""
    ADMIN = "admin"
    """Everything above, and the keys, webhooks and audit events of the tenant."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is known after it was shown: without its secret. Times are seconds since 1970 on the database's clock."""

    id: str
    tenant: str
    name: str
    scopes: tuple[Scope, ...]
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    last_used_at: float | None
    """To the minute."""

    def is_active(self, now: float) -> bool:
        """Whether it lets somebody in at `now`, in seconds since 1970."""
        return self.revoked_at is None and not self.is_expired(now)

    def is_expired(self, now: float) -> bool:
        """Whether its time is over at `now`, in seconds since 1970; False for one that has no end."""
        return self.expires_at is not None and self.expires_at <= now


def create(store: Store, tenant: str, name: str, scopes: Sequence[Scope], expires_at: float | None = None) -> tuple[Key, str]:
    """A new key and its secret, which is not stored and cannot be had again.

    Raises StateConflictError where the name has two active keys already.
    """
    secret = f"{PREFIX}{secrets.token_urlsafe(_RANDOM_BYTES)}"
    with store.write() as connection:
        now = store.now(connection)
        _assert_room(connection, tenant, name, now)
        key = Key(ids.api_key(), tenant, name, tuple(sorted(set(scopes))), now, expires_at, None, None)
        row = {"id": key.id, "tenant": tenant, "name": name, "created_at": now, "expires_at": expires_at}
        connection.execute(insert(api_keys).values(**row, sha256=_digest(secret), scopes=[scope.value for scope in key.scopes]))
    return key, secret


def of_secret(store: Store, secret: str) -> tuple[Key, float] | None:
    """The key that has this secret, whether or not it still holds, and the time; None where there is none."""
    digest = _digest(secret)
    with store.read() as connection:
        now = store.now(connection)
        row = connection.execute(select(api_keys).where(api_keys.c.sha256 == digest)).mappings().one_or_none()
    # The index found it by a digest, of which a guess says nothing; that the whole of it fits is still not told by time.
    if row is None or not hmac.compare_digest(row["sha256"], digest):
        return None
    return _from_row(row), now


def used(store: Store, key: Key, now: float) -> None:
    """Write down that the key was used, unless that was done within the minute."""
    if key.last_used_at is not None and now - key.last_used_at < NOTE_SECONDS:
        return
    # A request must not fail because of what is written beside it.
    with suppress(StoreUnavailableError), store.write() as connection:
        connection.execute(update(api_keys).where(api_keys.c.id == key.id).values(last_used_at=now))


def listed(store: Store, tenant: str | None, limit: int, before_id: str | None = None) -> list[Key]:
    """Up to `limit` keys of the tenant, or of all, newest first, those older than `before_id`; the revoked ones too."""
    query = select(api_keys).order_by(api_keys.c.id.desc()).limit(limit)
    if tenant is not None:
        query = query.where(api_keys.c.tenant == tenant)
    if before_id is not None:
        query = query.where(api_keys.c.id < before_id)
    with store.read() as connection:
        return [_from_row(row) for row in connection.execute(query).mappings()]


def get(store: Store, tenant: str | None, key_id: str) -> Key:
    """The key of the tenant, or of any. Raises NotFoundError, also for another tenant's."""
    with store.read() as connection:
        row = connection.execute(select(api_keys).where(*_named(tenant, key_id))).mappings().one_or_none()
    if row is None:
        raise NotFoundError("API key", key_id)
    return _from_row(row)


def revoke(store: Store, tenant: str | None, key_id: str) -> None:
    """End the key, from the next request on. Harmless to repeat. Raises NotFoundError, also for another tenant's."""
    get(store, tenant, key_id)
    with store.write() as connection:
        values = {"revoked_at": store.now(connection)}
        connection.execute(update(api_keys).where(*_named(tenant, key_id), api_keys.c.revoked_at.is_(None)).values(values))


def is_any_active(store: Store) -> bool:
    """Whether anybody at all could use the service."""
    with store.read() as connection:
        return connection.execute(select(api_keys.c.id).where(_active(store.now(connection))).limit(1)).first() is not None


def _assert_room(connection: Connection, tenant: str, name: str, now: float) -> None:
    alone(connection, f"API keys {tenant} {name}")
    query = select(api_keys.c.id).where(api_keys.c.tenant == tenant, api_keys.c.name == name, _active(now))
    active = [row.id for row in connection.execute(query)]
    if len(active) >= MOST_ACTIVE:
        raise StateConflictError(
            f"'{name}' has {len(active)} active keys already, {' and '.join(active)}; revoke one of them, or take another name"
        )


def _active(now: float) -> ColumnElement[bool]:
    return and_(api_keys.c.revoked_at.is_(None), or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > now))


def _named(tenant: str | None, key_id: str) -> tuple[ColumnElement[bool], ...]:
    return (api_keys.c.id == key_id,) if tenant is None else (api_keys.c.id == key_id, api_keys.c.tenant == tenant)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _from_row(row: RowMapping) -> Key:
    values = {name: row[name] for name in ("id", "tenant", "name", "created_at", "expires_at", "revoked_at", "last_used_at")}
    return Key(**values, scopes=tuple(Scope(scope) for scope in row["scopes"]))

"""What was done with which key, and whom the service refused."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import delete, insert, select

from contract import ids
from contract.store.engine import Store
from contract.store.tables import audit_events

KEPT_SECONDS = 365 * 86_400.0


@dataclass(frozen=True, slots=True)
class Deed:
    """A request that changed something, or one that was refused because of its sender."""

    tenant: str | None
    """None where the sender is not known."""
    key_id: str | None
    action: str
    """The operation asked for, or `authentication_refused`."""
    method: str
    target: str
    """The path."""
    status: int
    request_id: str
    ip: str | None


@dataclass(frozen=True, slots=True)
class Recorded:
    """A deed that is written down."""

    id: str
    at: float
    deed: Deed


def record(store: Store, deed: Deed) -> None:
    """Write the deed down."""
    with store.write() as connection:
        connection.execute(insert(audit_events).values(id=ids.audit_event(), at=store.now(connection), **asdict(deed)))


def listed(
    store: Store, tenant: str | None, limit: int, before_id: str | None = None, actions: Sequence[str] = (), key_id: str | None = None
) -> list[Recorded]:
    """Up to `limit` deeds of the tenant, or of all and of nobody, newest first, those older than `before_id`."""
    query = select(audit_events).order_by(audit_events.c.id.desc()).limit(limit)
    if tenant is not None:
        query = query.where(audit_events.c.tenant == tenant)
    if before_id is not None:
        query = query.where(audit_events.c.id < before_id)
    if actions:
        query = query.where(audit_events.c.action.in_(actions))
    if key_id is not None:
        query = query.where(audit_events.c.key_id == key_id)
    with store.read() as connection:
        rows = connection.execute(query).mappings().all()
    return [Recorded(row["id"], row["at"], Deed(**{name: row[name] for name in Deed.__slots__})) for row in rows]


def forget(store: Store, older_than_seconds: float = KEPT_SECONDS) -> None:
    """Drop what nobody asks for any more."""
    with store.write() as connection:
        connection.execute(delete(audit_events).where(audit_events.c.at < store.now(connection) - older_than_seconds))

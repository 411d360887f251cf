"""How a move of a job becomes messages to webhooks: rows written in the transaction of the move, so that neither is without the other."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, bindparam, insert, select

from contract import ids, webhooks
from contract.job import Job, Json
from contract.store import tables
from contract.webhooks import DeliveryState

_LISTENERS: Final = select(tables.webhooks.c.id, tables.webhooks.c.events).where(
    tables.webhooks.c.tenant == bindparam("tenant"), tables.webhooks.c.enabled == 1
)


def tell(connection: Connection, moves: Sequence[tuple[Job | None, Job]], actor: str, now: float) -> None:
    """Write one message for each move and each enabled webhook of the job's tenant that asks for it. A move is a job before and after,
    None before it was there. Where nobody listens it costs one look a tenant."""
    listeners = {
        tenant: _listeners(connection, tenant) for tenant in {after.tenant for _, after in moves if after.state in webhooks.OF_STATE}
    }
    found = [
        _message(before, after, actor, now) | {"webhook_id": webhook_id}
        for before, after in moves
        for webhook_id, events in listeners.get(after.tenant, ())
        if webhooks.OF_STATE.get(after.state) in events
    ]
    if found:
        connection.execute(insert(tables.deliveries), found)


def _listeners(connection: Connection, tenant: str) -> list[tuple[str, list[str]]]:
    return [(row.id, row.events) for row in connection.execute(_LISTENERS, {"tenant": tenant})]


def _message(before: Job | None, after: Job, actor: str, now: float) -> Json:
    return {
        "id": ids.event(),
        "job_id": after.id,
        "seq": after.event_seq,
        "type": webhooks.OF_STATE[after.state].value,
        "body": webhooks.moved(before, after, actor, now),
        "state": DeliveryState.PENDING.value,
        "attempts": 0,
        "attempts_before": 0,
        "next_attempt_at": now,
        "created_at": now,
    }

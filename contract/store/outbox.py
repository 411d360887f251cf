"""How a move of a job becomes messages to webhooks: rows written in the transaction of the move, so that neither is without the other."""

from typing import Final

from sqlalchemy import Connection, bindparam, insert, select

from contract import ids, webhooks
from contract.job import Job
from contract.store import tables
from contract.webhooks import DeliveryState

_LISTENERS: Final = select(tables.webhooks.c.id, tables.webhooks.c.events).where(
    tables.webhooks.c.tenant == bindparam("tenant"), tables.webhooks.c.enabled == 1
)


def tell(connection: Connection, before: Job | None, after: Job, actor: str, now: float) -> None:
    """Write one message for each enabled webhook of the job's tenant that asks for this move. Where there is none it costs one look."""
    kind = webhooks.OF_STATE.get(after.state)
    if kind is None:
        return
    heard_by = [row.id for row in connection.execute(_LISTENERS, {"tenant": after.tenant}) if kind.value in row.events]
    if not heard_by:
        return
    message = {
        "id": ids.event(),
        "job_id": after.id,
        "seq": after.event_seq,
        "type": kind.value,
        "body": webhooks.moved(before, after, actor, now),
        "state": DeliveryState.PENDING.value,
        "attempts": 0,
        "attempts_before": 0,
        "next_attempt_at": now,
        "created_at": now,
    }
    connection.execute(insert(tables.deliveries), [message | {"webhook_id": webhook_id} for webhook_id in heard_by])

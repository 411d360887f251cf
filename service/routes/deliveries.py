"""What a webhook was told: the log of its messages, and having one sent again."""

import re
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query, status
from pydantic import BaseModel, ConfigDict, Field

from contract.store import deliveries
from contract.webhooks import DeliveryState
from service import deps, pages, shapes, views
from service.errors import UnknownNameError
from service.openapi import problems
from service.routes.webhooks import Messages, Webhook

router = APIRouter(prefix="/v1/webhooks/{webhook_id}/deliveries", tags=["webhooks"])

_DELIVERY_ID: Final = re.compile(r"evt_[0-9a-z]{26}")


async def _delivery_id(
    delivery_id: Annotated[str, Path(description="The delivery's `id`.", examples=["evt_01kaj3v2m4n5p6q7r8s9t0v1w2"])],
) -> str:
    if not _DELIVERY_ID.fullmatch(delivery_id):
        raise UnknownNameError("delivery")
    return delivery_id


DeliveryId = Annotated[str, Depends(_delivery_id)]


class Filters(BaseModel):
    """Which deliveries a list shows."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    """Deliveries a page."""
    cursor: str | None = None
    """`next_cursor` of the page before, under the same filters."""
    status: DeliveryState | None = None
    """Only deliveries that stand so."""


@router.get(
    "",
    operation_id="list_webhook_deliveries",
    summary="List what a webhook was told",
    responses=problems(400, 404, 422, 503),
)
def delivered(webhook: Webhook, filters: Annotated[Filters, Query()], store: deps.Store) -> shapes.DeliveryList:
    """A page of deliveries, newest first: status code, duration and how the answer began. Kept for seven days."""
    before = pages.decode(filters.cursor, [webhook.id, filters.status])
    found = deliveries.page(store, webhook, filters.limit + 1, before, filters.status)
    shown, more, following = pages.cut(found, filters.limit, [webhook.id, filters.status])
    return shapes.DeliveryList(data=[views.delivery(row) for row in shown], has_more=more, next_cursor=following)


@router.get(
    "/{delivery_id}",
    operation_id="get_webhook_delivery",
    summary="Look at a delivery",
    responses=problems(404, 503),
)
def look(webhook: Webhook, delivery_id: DeliveryId, store: deps.Store) -> shapes.Delivery:
    """The delivery as it stands."""
    return views.delivery(deliveries.get(store, webhook, delivery_id))


@router.post(
    "/{delivery_id}/redeliver",
    operation_id="redeliver_webhook_delivery",
    summary="Have a message sent again",
    status_code=status.HTTP_202_ACCEPTED,
    responses=problems(404, 409, 503),
)
def redeliver(webhook: Webhook, delivery_id: DeliveryId, store: deps.Store, courier: Messages) -> shapes.Delivery:
    """Sent within seconds, whatever became of it before, and again if that fails. Its `webhook-id` and its body stay the same. A
    webhook that is not enabled answers 409."""
    delivery = deliveries.redeliver(store, webhook, delivery_id)
    courier.wake()
    return views.delivery(delivery)

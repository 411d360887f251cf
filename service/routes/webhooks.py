"""Webhooks as resources: who is told of jobs, and the secret that each of them verifies messages by."""

import re
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Response, status

from contract import ids
from contract.spec.faults import Fault
from contract.store import deliveries, webhooks
from contract.store.webhooks import Webhook as WebhookRow
from service import actions, deps, shapes, views
from service.body import Document, OptionalDocument
from service.errors import InvalidBodyError, UnknownNameError
from service.hooks import announced, asked, signing
from service.hooks.courier import Courier
from service.hooks.guard import RefusedError
from service.openapi import header, problems

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

_WEBHOOK_ID: Final = re.compile(r"wh_[0-9a-z]{26}")
_NO_STORE: Final = "no-store"
"""Of a reply that holds a secret: no cache on the way may keep it."""


async def _webhook_id(
    webhook_id: Annotated[str, Path(description="The webhook's `id`.", examples=["wh_01kaj3v2m4n5p6q7r8s9t0v1w2"])],
) -> str:
    if not _WEBHOOK_ID.fullmatch(webhook_id):
        raise UnknownNameError("webhook")
    return webhook_id


async def _courier(state: deps.State) -> Courier:
    return state.courier


WebhookId = Annotated[str, Depends(_webhook_id)]
Messages = Annotated[Courier, Depends(_courier)]


def _webhook(webhook_id: WebhookId, store: deps.Store, tenant: deps.Tenant) -> WebhookRow:
    return webhooks.get(store, tenant, webhook_id)


Webhook = Annotated[WebhookRow, Depends(_webhook)]


@router.post(
    "",
    operation_id="create_webhook",
    summary="Have a place of yours told of jobs",
    status_code=status.HTTP_201_CREATED,
    responses={201: {"headers": {"Location": header("Path of the webhook.")}}, **problems(400, 409, 413, 415, 422, 503)},
    openapi_extra=announced.NEW_BODY,
)
def create(
    document: Document, response: Response, state: deps.State, store: deps.Store, tenant: deps.Tenant, courier: Messages
) -> shapes.WebhookWithSecret:
    """From now on each move of a job that the webhook asks for is posted to it, signed. The reply holds the secret that verifies
    signatures; no other reply does. A URL that does not lead to a public host over https is a 422."""
    wanted = actions.read(asked.NewWebhook, document)
    _assert_may_lead(courier, wanted.url)
    webhook_id = ids.webhook()
    stored, secret = signing.new(webhook_id, state.settings.secret_key)
    row = webhooks.add(store, tenant, webhook_id, stored, **wanted.model_dump())
    response.headers["Location"] = f"/v1/webhooks/{row.id}"
    return _with_secret(row, secret, response)


@router.get("", operation_id="list_webhooks", summary="List webhooks", responses=problems(503))
def listed(store: deps.Store, tenant: deps.Tenant) -> shapes.WebhookList:
    """All of them, newest first, without their secrets."""
    return shapes.WebhookList(data=[views.webhook(row) for row in webhooks.listed(store, tenant)])


@router.get("/{webhook_id}", operation_id="get_webhook", summary="Look at a webhook", responses=problems(404, 503))
def get(webhook: Webhook) -> shapes.Webhook:
    """The webhook as it stands, without its secret."""
    return views.webhook(webhook)


@router.patch(
    "/{webhook_id}",
    operation_id="update_webhook",
    summary="Change a webhook",
    responses=problems(400, 404, 413, 415, 422, 503),
    openapi_extra=announced.CHANGE_BODY,
)
def change(webhook: Webhook, document: Document, store: deps.Store, tenant: deps.Tenant, courier: Messages) -> shapes.Webhook:
    """Change `url`, `events`, `enabled` or `description`; what is left out stays as it is (JSON merge patch)."""
    wanted = actions.read(asked.WebhookChange, document).model_dump(exclude_unset=True)
    if "url" in wanted:
        _assert_may_lead(courier, wanted["url"])
    changed = webhooks.change(store, tenant, webhook.id, **wanted) if wanted else webhook
    courier.wake()
    return views.webhook(changed)


@router.delete(
    "/{webhook_id}",
    operation_id="delete_webhook",
    summary="Delete a webhook",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(404, 503),
)
def delete(webhook_id: WebhookId, store: deps.Store, tenant: deps.Tenant) -> None:
    """It is told of nothing more, and its deliveries are forgotten. A message under way may still arrive."""
    webhooks.remove(store, tenant, webhook_id)


@router.post(
    "/{webhook_id}/test",
    operation_id="test_webhook",
    summary="Send a test message now",
    responses=problems(404, 503),
)
def test(webhook_id: WebhookId, store: deps.Store, tenant: deps.Tenant, courier: Messages) -> shapes.Delivery:
    """Posts a message of type `webhook.test`, also to a webhook that is not enabled, and answers with what became of it within ten
    seconds. One that fails is `dead` at once: it is not sent again."""
    delivery = courier.send(deliveries.test(store, tenant, webhook_id))
    if delivery is None:
        raise UnknownNameError("webhook")
    return views.delivery(delivery)


@router.post(
    "/{webhook_id}/rotate-secret",
    operation_id="rotate_webhook_secret",
    summary="Replace the secret of a webhook",
    responses=problems(400, 404, 413, 415, 422, 503),
    openapi_extra=announced.ROTATION_BODY,
)
def rotate(
    webhook_id: WebhookId, document: OptionalDocument, response: Response, state: deps.State, store: deps.Store, tenant: deps.Tenant
) -> shapes.WebhookWithSecret:
    """The reply holds the new secret; no other reply does. For `overlap_hours` messages bear two signatures, so that a receiver can
    go over to the new secret without missing one."""
    wanted = actions.read(asked.Rotation, document)
    stored, secret = signing.new(webhook_id, state.settings.secret_key)
    return _with_secret(webhooks.rotate(store, tenant, webhook_id, stored, wanted.overlap_hours * 3600.0), secret, response)


def _assert_may_lead(courier: Courier, url: str) -> None:
    try:
        courier.check(url)
    except RefusedError as error:
        raise InvalidBodyError([Fault(("url",), error.code, str(error))]) from None


def _with_secret(row: WebhookRow, secret: str, response: Response) -> shapes.WebhookWithSecret:
    response.headers["Cache-Control"] = _NO_STORE
    return shapes.WebhookWithSecret(**views.webhook(row).model_dump(), secret=secret)

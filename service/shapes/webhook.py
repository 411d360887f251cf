"""A webhook as a client sees it, and what was told to it."""

from typing import Any, Literal

from contract.webhooks import DeliveryState, EventType
from service.shapes.base import Page, Time, View


class Webhook(View):
    """A place of yours that is told of jobs."""

    object: Literal["webhook"] = "webhook"
    id: str
    """Sorts by time of creation."""
    url: str
    """Where messages are posted to."""
    events: list[str]
    """What it is told of; see the types of events."""
    description: str | None
    """Your own words."""
    enabled: bool
    """Whether it is told of anything."""
    disabled_reason: str | None
    """Why it is not enabled: `on request`, or its receiver answered 410."""
    previous_secret_expires_at: Time | None
    """Until when messages bear a second signature, by the secret before the present one; null when there is one signature."""
    created_at: Time
    """When it was made."""
    updated_at: Time
    """When it was last changed."""


class WebhookWithSecret(Webhook):
    """A webhook whose secret is new. It is shown this once."""

    secret: str
    """Verifies the signatures of its messages: `whsec_` and 32 bytes in base64. Keep it: it cannot be had again, only replaced."""


class WebhookList(Page[Webhook]):
    """Your webhooks, newest first. There are so few that they are always on one page."""


class Delivery(View):
    """One message to one webhook, and what became of it."""

    object: Literal["webhook.delivery"] = "webhook.delivery"
    id: str
    """The message's, as in its `webhook-id`. It stays the same however often it is sent."""
    webhook_id: str
    """Whom it is for."""
    job_id: str | None
    """What it is about; null for a test."""
    type: EventType
    """What it tells."""
    status: DeliveryState
    """`pending` is to be sent, for the first time or again; `dead` is not sent again unless it is redelivered."""
    attempts: int
    """How often it was sent, or was about to be."""
    next_attempt_at: Time | None
    """When it is sent, if nothing comes between; null unless pending."""
    created_at: Time
    """When what it tells happened."""
    last_attempt_at: Time | None
    """When it was last sent."""
    delivered_at: Time | None
    """When a receiver took it."""
    status_code: int | None
    """The last answer's; null when there was none."""
    error: str | None
    """Why the last attempt counts as failed."""
    duration_ms: float | None
    """How long the last attempt took."""
    reply: str | None
    """How the last answer's body began: 1 KiB of it at most."""
    payload: dict[str, Any]
    """The body of the message."""


class DeliveryList(Page[Delivery]):
    """Part of what a webhook was told in the last seven days, newest first."""


class MovedProgress(View):
    """How far the job had come."""

    epoch: int
    """Epochs done."""
    epochs: int
    """Epochs asked for."""
    step: int
    """Optimizer steps done."""
    steps: int | None
    """Steps of the whole job; null until training has started."""


class MovedLinks(View):
    """Paths on this server."""

    self: str
    """The job: a path on this server."""


class Moved(View):
    """The job as it was right after the move."""

    job_id: str
    """Which job."""
    name: str | None
    """As submitted."""
    metadata: dict[str, str]
    """As submitted."""
    status: str
    """Where it stands now."""
    previous_status: str | None
    """Where it stood before; null for a job just submitted."""
    status_reason: str | None
    """Why it moved, in a few words."""
    actor: str
    """Who moved it: `client`, `worker` or `reconciler`."""
    sequence: int
    """Rises with everything that happens to the job: of two messages about a job the higher one is the newer. It is the `seq` of the
    job's event."""
    attempt: int
    """Rises each time that a worker takes the job up."""
    created_at: Time
    """When the job was submitted."""
    started_at: Time | None
    """Of the first attempt."""
    finished_at: Time | None
    """When the job reached its final status."""
    progress: MovedProgress
    """How far it had come."""
    latest_metrics: dict[str, Any]
    """The numbers reported last."""
    best: dict[str, Any] | None
    """Its best checkpoint so far."""
    error: dict[str, Any] | None
    """Of a failed job: `code`, `message`, `hint`, `retryable`."""
    links: MovedLinks
    """Where to read on."""


class JobMessage(View):
    """What is posted when a job moves."""

    type: EventType
    """What happened."""
    timestamp: Time
    """When it happened; when the message was sent is in `webhook-timestamp`."""
    data: Moved
    """The job."""


class Tested(View):
    """What a test tells."""

    webhook_id: str
    """Which webhook is tested."""


class TestMessage(View):
    """What is posted when somebody asks for a test."""

    __test__ = False  # pytest takes a class of this name for tests

    type: Literal[EventType.TEST]
    """`webhook.test`."""
    timestamp: Time
    """When it was asked for."""
    data: Tested
    """Which webhook is tested."""

"""What the body of a request about webhooks may say."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from service.actions import Action
from service.hooks import guard

JobEvent = Literal["job.queued", "job.running", "job.paused", "job.succeeded", "job.failed", "job.cancelled"]
"""What a webhook can ask to be told of: a test keeps it the same as what is told."""
Url = Annotated[str, Field(min_length=1, max_length=guard.MAX_LENGTH)]
Events = Annotated[list[JobEvent], Field(min_length=1, max_length=16)]
Description = Annotated[str, Field(max_length=500)]


def _every_event() -> list[JobEvent]:
    return list(get_args(JobEvent))


class NewWebhook(Action):
    """A webhook to be made."""

    url: Url
    """Where messages are posted to: https, on a public host, port 443 or one from 1024."""
    events: Events = _every_event()
    """What it is told of; everything unless you choose."""
    enabled: bool = True
    """Whether it is told of anything."""
    description: Description | None = None
    """Your own words."""


class WebhookChange(Action):
    """What is to be otherwise about a webhook; what is left out stays."""

    # Factories, as a default would stand in the description of the API and seem to be what an omission means.
    url: Url = Field(default_factory=str)
    """Where messages are posted to from now on, those that wait included."""
    events: Events = Field(default_factory=_every_event)
    """What it is told of from now on."""
    enabled: bool = Field(default_factory=bool)
    """Whether it is told of anything. What waited while it was not is sent once it is again."""
    description: Description | None = Field(default_factory=lambda: None)
    """Your own words; null removes them."""


class Rotation(Action):
    """How a secret is replaced. An empty body will do."""

    overlap_hours: Annotated[int, Field(ge=0, le=168)] = 24
    """For how long messages are signed with the old secret too; 0 for one that has leaked."""

"""API keys, and what was done with them."""

from typing import Literal

from contract.store.keys import Scope
from service.shapes.base import Page, Time, View


class ApiKey(View):
    """An API key, without its secret."""

    object: Literal["api_key"] = "api_key"
    id: str
    """Names the key; it is no secret."""
    tenant: str
    """Whose jobs the key sees."""
    name: str
    """As given. Two keys of one name may be active at once, so that one can take the other's place."""
    scopes: list[Scope]
    """What the key may do."""
    is_active: bool
    """Whether it lets anybody in: neither revoked nor expired."""
    created_at: Time
    """When it was made."""
    expires_at: Time | None
    """From when on it lets nobody in; null for a key without an end."""
    revoked_at: Time | None
    """When it was revoked."""
    last_used_at: Time | None
    """When it let somebody in last, to the minute."""


class NewApiKey(ApiKey):
    """An API key just made."""

    secret: str
    """What to send as `Authorization: Bearer ...`. It is shown this once and stored nowhere."""


class ApiKeyList(Page[ApiKey]):
    """A page of keys, newest first; the revoked and the expired are among them."""


class AuditEvent(View):
    """A request that changed something, or one that was refused because of its sender."""

    object: Literal["audit_event"] = "audit_event"
    id: str
    """Sorts by time."""
    at: Time
    """When it was answered."""
    tenant: str | None
    """Whose key it was; null where the sender is not known."""
    key_id: str | None
    """Which key; `operator` for the operator's own, null where it is not known."""
    action: str
    """The operation, as `cancel_job`, or `authentication_refused`."""
    method: str
    """Of the request."""
    target: str
    """The path of the request."""
    status: int
    """Of the answer."""
    request_id: str
    """X-Request-Id of the answer."""
    ip: str | None
    """Where the request came from."""


class AuditEventList(Page[AuditEvent]):
    """A page of audit events, newest first."""

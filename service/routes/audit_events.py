"""What was done with which key, for admins to read."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from contract.store import audit
from service import deps, pages, shapes, views
from service.openapi import problems

router = APIRouter(prefix="/v1/audit-events", tags=["access"])


class Filters(BaseModel):
    """Which events a list shows."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    """Events a page."""
    cursor: str | None = None
    """`next_cursor` of the page before, under the same filters."""
    action: Annotated[list[Annotated[str, Field(pattern=r"^[a-z_/{}:-]{1,64}$")]], Field(max_length=16)] = []
    """Only these actions, as `cancel_job`; repeat it for several."""
    key_id: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,40}$")] | None = None
    """Only what was done with this key."""


@router.get("", operation_id="list_audit_events", summary="Read what was done with the keys", responses=problems(400, 422, 503))
def listed(filters: Annotated[Filters, Query()], store: deps.Store, caller: deps.Caller) -> shapes.AuditEventList:
    """Requests that changed something, or tried to, by key, and requests that were refused because of their sender; newest first.

    An admin sees those of the own tenant, the operator all. They are kept for a year. Without API keys nothing is written.
    """
    asked = [*sorted(set(filters.action)), filters.key_id]
    before = pages.decode(filters.cursor, asked)
    tenant = None if caller.is_operator else caller.tenant
    found = audit.listed(store, tenant, filters.limit + 1, before, filters.action, filters.key_id)
    shown, more, cursor = pages.cut(found, filters.limit, asked)
    return shapes.AuditEventList(data=[views.audit_event(event) for event in shown], has_more=more, next_cursor=cursor)

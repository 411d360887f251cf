"""API keys: made, looked at, revoked. An admin looks after those of the own tenant, the operator after all."""

import re
import time
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query, Response, status
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from contract.spec.faults import Fault
from contract.store import keys
from contract.store.keys import Key, Scope
from service import actions, deps, pages, shapes, views
from service.body import Document
from service.errors import ForbiddenError, InvalidBodyError, UnknownNameError
from service.openapi import header, problems

router = APIRouter(prefix="/v1/api-keys", tags=["access"])

_ID: Final = re.compile(r"key_[0-9a-z]{26}")
_LONGEST_SECONDS: Final = 100 * 365 * 86_400
TENANT: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
TenantName = Annotated[str, Field(pattern=f"^{TENANT.pattern}$")]


class ApiKeyRequest(actions.Action):
    """The key that is asked for."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$")]
    """What it is for, as `ci` or `ada-laptop`: 1 to 64 letters, digits, spaces, dots, dashes and underscores."""
    scopes: Annotated[list[Annotated[Scope, Field(strict=False)]], Field(min_length=1, max_length=16)]
    """What it may do: `jobs:read`, `jobs:write`, `datasets:write`, and `admin`, which holds the others too."""
    expires_at: Annotated[AwareDatetime, Field(strict=False)] | None = None
    """From when on it lets nobody in, as `2027-01-01T00:00:00Z`. Without it the key holds until it is revoked."""
    tenant: TenantName | None = None
    """Whose jobs it sees; the own tenant by default. Another one can be named by the operator alone."""


class Filters(BaseModel):
    """Which keys a list shows."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    """Keys a page."""
    cursor: str | None = None
    """`next_cursor` of the page before, under the same filters."""
    tenant: TenantName | None = None
    """Only keys of this tenant. The operator is shown those of all tenants otherwise; for others there is the own one only."""


BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/ApiKeyRequest"},
                "examples": {
                    "ci": {"summary": "Submits jobs and reads them", "value": {"name": "ci", "scopes": ["jobs:read", "jobs:write"]}},
                    "admin": {"summary": "May do everything", "value": {"name": "ada", "scopes": ["admin"]}},
                },
            }
        },
    }
}


async def _key_id(key_id: Annotated[str, Path(description="The key's `id`.", examples=["key_01kaj3v2m4n5p6q7r8s9t0v1w2"])]) -> str:
    if not _ID.fullmatch(key_id):
        raise UnknownNameError("API key")
    return key_id


KeyId = Annotated[str, Depends(_key_id)]


def _reach(caller: deps.Caller) -> str | None:
    """Whose keys may be looked after: the own tenant's, or for the operator those of all."""
    return None if caller.is_operator else caller.tenant


Reach = Annotated[str | None, Depends(_reach)]


@router.post(
    "",
    operation_id="create_api_key",
    summary="Make an API key",
    status_code=status.HTTP_201_CREATED,
    responses={201: {"headers": {"Location": header("Path of the key.")}}, **problems(400, 409, 413, 415, 422, 503)},
    openapi_extra=BODY,
)
def create(document: Document, response: Response, store: deps.Store, caller: deps.Caller) -> shapes.NewApiKey:
    """A key with a secret that is shown this once. A name may have two active keys, so that a new one can take the place of an old
    one without a gap; a third answers 409."""
    asked = actions.read(ApiKeyRequest, document)
    tenant = asked.tenant or caller.tenant
    if tenant != caller.tenant and not caller.is_operator:
        raise ForbiddenError("a key for another tenant is made with the operator's key, RIDGELINE_ADMIN_KEY")
    key, secret = keys.create(store, tenant, asked.name, asked.scopes, _end(asked.expires_at))
    response.headers["Location"] = f"/v1/api-keys/{key.id}"
    response.headers["Cache-Control"] = "no-store"
    return shapes.NewApiKey(**_shown(key).model_dump(), secret=secret)


@router.get("", operation_id="list_api_keys", summary="List API keys, newest first", responses=problems(400, 422, 503))
def listed(filters: Annotated[Filters, Query()], store: deps.Store, reach: Reach) -> shapes.ApiKeyList:
    """A page of keys, without their secrets; the revoked and the expired are among them."""
    # Of another tenant nobody but the operator learns more than that there is nothing.
    tenants = {filters.tenant, reach} - {None}
    before = pages.decode(filters.cursor, [filters.tenant])
    found = keys.listed(store, next(iter(tenants), None), filters.limit + 1, before) if len(tenants) < 2 else []
    shown, more, cursor = pages.cut(found, filters.limit, [filters.tenant])
    return shapes.ApiKeyList(data=[_shown(key) for key in shown], has_more=more, next_cursor=cursor)


@router.get("/{key_id}", operation_id="get_api_key", summary="Look at an API key", responses=problems(404, 503))
def get(key_id: KeyId, store: deps.Store, reach: Reach) -> shapes.ApiKey:
    """The key without its secret: what it may do, whether it is active, when it was last used."""
    return _shown(keys.get(store, reach, key_id))


@router.delete(
    "/{key_id}",
    operation_id="revoke_api_key",
    summary="Revoke an API key",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(404, 503),
)
def revoke(key_id: KeyId, store: deps.Store, reach: Reach) -> None:
    """The key lets nobody in from the next request on. It stays in the list. Repeating is harmless."""
    keys.revoke(store, reach, key_id)


def _end(expires_at: datetime | None) -> float | None:
    if expires_at is None:
        return None
    if not 0 < expires_at.timestamp() - time.time() < _LONGEST_SECONDS:
        message = "should lie in the future, within a hundred years; leave it away for a key without an end"
        raise InvalidBodyError([Fault(("expires_at",), "out_of_range", message)])
    return expires_at.timestamp()


def _shown(key: Key) -> shapes.ApiKey:
    return views.api_key(key, time.time())

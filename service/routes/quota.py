"""How much a tenant may have, and has; the operator decides it for each."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Path, status
from pydantic import Field

from contract.store import Store, quotas
from contract.store.quotas import Limits
from service import actions, deps, shapes
from service.body import Document
from service.callers import Caller
from service.errors import ForbiddenError, UnknownNameError
from service.openapi import problems
from service.routes.api_keys import TENANT

router = APIRouter(prefix="/v1/quota", tags=["access"])

Count = Annotated[int, Field(ge=0, le=2**31 - 1)]


class QuotaRequest(actions.Action):
    """The limits of one tenant. What is not named has none."""

    running_jobs: Count | None = None
    """Jobs that run at once; 0 lets none start."""
    queued_jobs: Count | None = None
    """Jobs that are queued at once; 0 lets none be submitted."""
    stored_bytes: Annotated[int, Field(ge=0, le=2**53)] | None = None
    """Bytes of checkpoints and data sets."""
    device_seconds: Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)] | None = None
    """Seconds that workers hold its jobs, in all."""


BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/QuotaRequest"},
                "example": {"running_jobs": 2, "queued_jobs": 100, "stored_bytes": 10_000_000_000},
            }
        },
    }
}


async def _named(caller: deps.Caller, tenant: Annotated[str, Path(description="The tenant.", examples=["vision"])]) -> str:
    if not TENANT.fullmatch(tenant) or (tenant != caller.tenant and not caller.is_operator):
        raise UnknownNameError("tenant")
    return tenant


async def _operator(caller: deps.Caller) -> Caller:
    if not caller.is_operator:
        raise ForbiddenError("quotas are set with the operator's key, RIDGELINE_ADMIN_KEY")
    return caller


Named = Annotated[str, Depends(_named)]
Operator = Depends(_operator)


@router.get("", operation_id="get_quota", summary="What you may have, and have", responses=problems(503))
def own(store: deps.Store, tenant: deps.Tenant) -> shapes.Quota:
    """Limits and use of the tenant of the key."""
    return _shown(store, tenant)


@router.get("/{tenant}", operation_id="get_tenant_quota", summary="What a tenant may have, and has", responses=problems(404, 503))
def get(tenant: Named, store: deps.Store) -> shapes.Quota:
    """Limits and use of a tenant: the own one, or for the operator any. A tenant is there as soon as it is named."""
    return _shown(store, tenant)


@router.put(
    "/{tenant}",
    operation_id="put_tenant_quota",
    summary="Set what a tenant may have",
    responses=problems(400, 404, 413, 415, 422, 503),
    openapi_extra=BODY,
)
def put(tenant: Named, document: Document, store: deps.Store, _: Annotated[Caller, Operator]) -> shapes.Quota:
    """Takes the place of everything said before, by the settings too: what is not named has no limit. For the operator alone.
    What the tenant has already stays, also where it is more."""
    quotas.put(store, tenant, Limits(**actions.read(QuotaRequest, document).model_dump()))
    return _shown(store, tenant)


@router.delete(
    "/{tenant}",
    operation_id="delete_tenant_quota",
    summary="Give a tenant what everybody may have",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(404, 503),
)
def delete(tenant: Named, store: deps.Store, _: Annotated[Caller, Operator]) -> None:
    """The limits of the settings hold for the tenant again. For the operator alone. Repeating is harmless."""
    quotas.remove(store, tenant)


def _shown(store: Store, tenant: str) -> shapes.Quota:
    limits, used = quotas.limits(store, tenant), quotas.used(store, tenant)
    return shapes.Quota(tenant=tenant, limit=shapes.QuotaLimits(**asdict(limits)), used=shapes.QuotaUse(**asdict(used)))

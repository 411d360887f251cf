"""Which scope each operation asks for. A route without a row here is refused when the application is built."""

from collections.abc import Sequence
from typing import Final

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from contract.store.keys import Scope

PUBLIC: Final = None
_READ, _WRITE, _DATA, _ADMIN = Scope.JOBS_READ, Scope.JOBS_WRITE, Scope.DATASETS_WRITE, Scope.ADMIN

NEEDED: Final[dict[str, Scope | None]] = {
    # Probes, and pages that hold nothing of anybody's: what they show they fetch from below, with a key.
    "get_health": PUBLIC,
    "get_readiness": PUBLIC,
    "get_version": PUBLIC,
    "/": PUBLIC,
    "/docs": PUBLIC,
    "/ui/{name:path}": PUBLIC,
    # Jobs and what they say and leave.
    "submit_job": _WRITE,
    "validate_job": _WRITE,
    "list_jobs": _READ,
    "get_job": _READ,
    "cancel_job": _WRITE,
    "pause_job": _WRITE,
    "resume_job": _WRITE,
    "retry_job": _WRITE,
    "extend_job": _WRITE,
    "list_events": _READ,
    "list_metrics": _READ,
    "get_result": _READ,
    "list_checkpoints": _READ,
    "get_checkpoint": _READ,
    "download_checkpoint_file": _READ,
    "head_checkpoint_file": _READ,
    # The service.
    "get_capabilities": _READ,
    "list_workers": _READ,
    "get_quota": _READ,
    "get_tenant_quota": _ADMIN,
    "put_tenant_quota": _ADMIN,
    "delete_tenant_quota": _ADMIN,
    # Who may use it.
    "create_api_key": _ADMIN,
    "list_api_keys": _ADMIN,
    "get_api_key": _ADMIN,
    "revoke_api_key": _ADMIN,
    "list_audit_events": _ADMIN,
}
"""By operation id; by path for a page, which is no operation. `admin` holds every other scope too."""


def assert_complete(routes: Sequence[BaseRoute]) -> None:
    """Raises RuntimeError for a route without a row: who may ask for it would be anybody."""
    for route in routes:
        if name(route) not in NEEDED:
            raise RuntimeError(f"the route {name(route)} has no row in service/access.py; say there which scope it needs")


def name(route: BaseRoute) -> str:
    """What a route is called in the table."""
    operation_id = route.operation_id if isinstance(route, APIRoute) else None
    return operation_id or str(getattr(route, "path", ""))

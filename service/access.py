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
    "/openapi.json": PUBLIC,
    "/static-offline-docs": PUBLIC,
    # Jobs and what they say and leave. "jobs:read" looks, "jobs:write" makes, changes and ends.
    "submit_job": _WRITE,
    "validate_job": _WRITE,
    "list_jobs": _READ,
    "get_job": _READ,
    "cancel_job": _WRITE,
    "pause_job": _WRITE,
    "resume_job": _WRITE,
    "retry_job": _WRITE,
    "extend_job": _WRITE,
    "update_job": _WRITE,
    "delete_job": _WRITE,
    "clone_job": _WRITE,
    "cancel_jobs": _WRITE,
    "delete_jobs": _WRITE,
    "compare_jobs": _READ,
    "list_events": _READ,
    "list_logs": _READ,
    "list_metrics": _READ,
    "get_result": _READ,
    "list_checkpoints": _READ,
    "get_checkpoint": _READ,
    "download_checkpoint_file": _READ,
    "head_checkpoint_file": _READ,
    "pin_checkpoint": _WRITE,
    "delete_checkpoint": _WRITE,
    "find_checkpoint": _READ,
    "pin_checkpoint_by_id": _WRITE,
    "delete_checkpoint_by_id": _WRITE,
    "get_plot": _READ,
    "list_fine_tuning_jobs": _READ,
    "get_fine_tuning_job": _READ,
    "cancel_fine_tuning_job": _WRITE,
    "pause_fine_tuning_job": _WRITE,
    "resume_fine_tuning_job": _WRITE,
    "list_fine_tuning_events": _READ,
    "list_fine_tuning_checkpoints": _READ,
    # Data sets. To look at them is part of looking at jobs.
    "upload_dataset": _DATA,
    "list_datasets": _READ,
    "get_dataset": _READ,
    "delete_dataset": _DATA,
    # The service.
    "get_capabilities": _READ,
    "list_workers": _READ,
    "get_queue": _READ,
    "get_prometheus_metrics": _ADMIN,
    "/metrics": _ADMIN,
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
    # Webhooks send what happens here to elsewhere.
    "create_webhook": _ADMIN,
    "list_webhooks": _ADMIN,
    "get_webhook": _ADMIN,
    "update_webhook": _ADMIN,
    "delete_webhook": _ADMIN,
    "test_webhook": _ADMIN,
    "rotate_webhook_secret": _ADMIN,
    "list_webhook_deliveries": _ADMIN,
    "get_webhook_delivery": _ADMIN,
    "redeliver_webhook_delivery": _ADMIN,
}
"""By operation id; by path for a page, which is no operation. `admin` holds every other scope too."""


def assert_complete(routes: Sequence[BaseRoute]) -> None:
    """Raises RuntimeError for a route without a row, and for routers within the routers: who may ask for it would be anybody."""
    for route in routes:
        if not hasattr(route, "path"):
            raise RuntimeError("a router was included, whose routes have no door; name its module in service/app.py instead")
        if name(route) not in NEEDED:
            raise RuntimeError(f"the route {name(route)} has no row in service/access.py; say there which scope it needs")


def name(route: BaseRoute) -> str:
    """What a route is called in the table."""
    operation_id = route.operation_id if isinstance(route, APIRoute) else None
    return operation_id or str(getattr(route, "path", ""))

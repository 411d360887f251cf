"""Whether the service lives, whether it can do its work, who works for it, and what it is."""

import hashlib
import platform
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Final

import structlog
from fastapi import APIRouter, Response, status

from contract import queue
from contract.artifacts import Artifacts
from contract.errors import OperatorError
from contract.store import Store, jobs, workers
from service import deps, garbage, shapes, views
from service.openapi import problems

log = structlog.get_logger(__name__)
router = APIRouter(tags=["service"])

_PROBE: Final = b"ready?"


@router.get("/healthz", operation_id="get_health", summary="Whether the process lives")
async def health() -> shapes.Health:
    """200 for as long as the process answers at all. For restarts; whether it can do its work is told by /readyz."""
    return shapes.Health()


@router.get(
    "/readyz",
    operation_id="get_readiness",
    summary="Whether jobs submitted now will be trained",
    responses={503: {"model": shapes.Readiness, "description": "They would not be: see the checks."}},
)
def readiness(state: deps.State, response: Response) -> shapes.Readiness:
    """Store, broker, artifacts and workers, each tried. A broker that is down costs seconds of latency and no job, so that
    alone is `degraded` with 200; without a store, artifacts or a worker it is `unavailable` with 503."""
    checks = [
        _check("store", lambda: _store(state.store)),
        _check("broker", lambda: queue.ping(state.celery)),
        _check("artifacts", lambda: _artifacts(state.artifacts)),
        _check("workers", lambda: _workers(state.store)),
    ]
    if state.gate.has_keys:
        checks = [_for_strangers(check) for check in checks]
    if all(check.ok or check.name == "broker" for check in checks):
        return shapes.Readiness(status="ok" if all(check.ok for check in checks) else "degraded", checks=checks)
    response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return shapes.Readiness(status="unavailable", checks=checks)


@router.get("/v1/workers", operation_id="list_workers", summary="Who trains", responses=problems(503))
def listed(store: deps.Store, tenant: deps.Tenant) -> shapes.WorkerList:
    """Every worker that did not leave in good order, the longest-serving first. Of a worker that trains another tenant's job, the
    job is not named."""
    found = workers.listed(store)
    own = jobs.owned(store, tenant, [worker.job_id for worker in found if worker.job_id])
    return shapes.WorkerList(data=[views.worker(worker if worker.job_id in own else replace(worker, job_id=None)) for worker in found])


@router.get("/v1/version", operation_id="get_version", summary="What runs here")
async def version() -> shapes.Version:
    """The version of the service and of its API."""
    return shapes.Version(version=_version(), python=platform.python_version())


def _for_strangers(check: shapes.Check) -> shapes.Check:
    """The check as it is told to whom nobody knows: what depends on what, and where it runs, is the operator's."""
    if not check.ok:
        log.warning("not ready", check=check.name, detail=check.detail)
    return check.model_copy(update={"detail": "answers" if check.ok else "does not do its part; the log of the service tells more"})


def _check(name: str, attempt: Callable[[], str | None]) -> shapes.Check:
    try:
        return shapes.Check(name=name, ok=True, detail=attempt() or "answers")
    except OperatorError as error:
        return shapes.Check(name=name, ok=False, detail=str(error))
    except Exception as error:
        # Whatever is wrong, this page is where an operator looks for it.
        log.exception("a check failed in a way that was not foreseen", check=name)
        return shapes.Check(name=name, ok=False, detail=f"{type(error).__name__}; the log tells more")


def _store(store: Store) -> None:
    # alembic takes longer to import than all of our own code, and only this check needs it.
    from contract.store import schema

    schema.assert_current(store)


def _artifacts(artifacts: Artifacts) -> None:
    with tempfile.NamedTemporaryFile() as probe:
        probe.write(_PROBE)
        probe.flush()
        key = f"{garbage.PROBES}/{Path(probe.name).name}"
        artifacts.put(key, Path(probe.name), hashlib.sha256(_PROBE).hexdigest())
        artifacts.delete(key)


def _workers(store: Store) -> str:
    fresh = [worker for worker in workers.listed(store) if worker.is_fresh]
    there = [worker for worker in fresh if worker.state in {"idle", "busy"}]
    if not there and fresh:
        raise OperatorError(f"no worker is ready: {len(fresh)} there, {', '.join(sorted({worker.state for worker in fresh}))}")
    if not there:
        raise OperatorError("no worker was heard of lately; start one with python -m worker")
    return f"{len(there)} there, {sum(worker.state == 'idle' for worker in there)} idle"


@cache
def _version() -> str:
    try:
        return metadata.version("ridgeline")
    except metadata.PackageNotFoundError:
        return "0+source"  # run from a checkout that is not installed

"""How the service is: workers, health, versions."""

from typing import Any, Literal

from service.shapes.base import Page, Time, View


class Worker(View):
    """One worker and what it does."""

    object: Literal["worker"] = "worker"
    id: str
    """Given anew at each start."""
    host: str
    """The machine it runs on."""
    pid: int
    """Its process there."""
    state: str
    """`starting`, `idle`, `busy` or `draining`."""
    is_fresh: bool
    """Whether it was heard of lately."""
    device: str
    """What it trains on."""
    job_id: str | None
    """The job it trains; null while it has none, or another tenant's."""
    versions: dict[str, Any]
    """Of the libraries, by name."""
    started_at: Time
    """When it came up."""
    last_seen: Time
    """When it was last heard of."""


class WorkerList(Page[Worker]):
    """The workers that did not leave in good order."""


class Check(View):
    """Whether one thing that the service needs is there."""

    name: str
    """Of the thing."""
    ok: bool
    """Whether it is there."""
    detail: str
    """What was found."""


class Health(View):
    """Whether the process lives."""

    status: Literal["ok"] = "ok"


class Readiness(View):
    """Whether jobs that are submitted now will be trained."""

    status: Literal["ok", "degraded", "unavailable"]
    """`degraded`: jobs are trained, some seconds later than usual, as the broker is down. `unavailable`: none is."""
    checks: list[Check]
    """One for each thing that is needed."""


class Version(View):
    """What runs here."""

    name: Literal["ridgeline"] = "ridgeline"
    version: str
    """Of Ridgeline."""
    api: Literal["v1"] = "v1"
    python: str
    """The version of Python that the service runs on."""

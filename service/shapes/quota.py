"""How much a tenant may have, and has."""

from typing import Literal

from service.shapes.base import View


class QuotaLimits(View):
    """The most of each; null for no limit."""

    running_jobs: int | None
    """Jobs that run at once; more wait in the queue."""
    queued_jobs: int | None
    """Jobs that are queued at once; a submission beyond it answers 429."""
    stored_bytes: int | None
    """Bytes of checkpoints and data sets; a tenant that has them is answered 403 when it submits or uploads."""
    device_seconds: float | None
    """Seconds that workers hold its jobs, in all; a tenant that has used them is answered 403 when it submits."""


class QuotaUse(View):
    """How much of each there is now."""

    running_jobs: int
    """Jobs that a worker holds."""
    queued_jobs: int
    """Jobs that wait for a worker."""
    stored_bytes: int
    """Bytes of checkpoints and data sets that are kept."""
    device_seconds: float
    """Seconds that workers have held its jobs, those that they hold now among them."""


class Quota(View):
    """What a tenant may have, and has."""

    object: Literal["quota"] = "quota"
    tenant: str
    """Whose it is."""
    limit: QuotaLimits
    """What it may have."""
    used: QuotaUse
    """What it has."""

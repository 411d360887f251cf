"""The queue as a whole."""

from typing import Literal

from contract.job import JobState
from service.shapes.base import View


class QueueDepth(View):
    """So many jobs of one sort."""

    status: JobState
    """Where they stand."""
    device: str
    """What their spec asks for."""
    jobs: int
    """How many they are."""


class QueueWorkers(View):
    """Those heard of lately."""

    idle: int
    """Take the next job at once."""
    busy: int
    """Train one."""
    others: int
    """Start, or are about to leave."""


class Queue(View):
    """How much waits, and for what."""

    object: Literal["queue"] = "queue"
    queued: int
    """Your jobs that wait for a worker."""
    oldest_wait_seconds: float | None
    """Since the first of those was submitted; null where none waits."""
    estimated_wait_seconds: float | None
    """For a job submitted now; null where no worker is there or nothing was measured yet."""
    depths: list[QueueDepth]
    """Your jobs that have not ended."""
    workers: QueueWorkers
    """Who works them off."""

"""What webhooks are told of a job's moves, and when a message that did not arrive is sent again."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from contract import numbers
from contract.job import Job, JobState, Json

BACKOFF_SECONDS: Final = (5.0, 30.0, 120.0, 600.0, 3600.0, 21_600.0, 86_400.0)
"""Waits between the attempts to deliver one message; after the last one it is dead."""
IN_ORDER_ATTEMPTS: Final = 3
"""For so many attempts a message holds back later ones about the same job; then they pass it, or one refusal would silence the job."""
LONGEST_RETRY_AFTER: Final = 86_400.0


class EventType(StrEnum):
    """What a message tells. A receiver must be ready for more of them."""

    JOB_QUEUED = "job.queued"
    """The job was submitted, or waits again: resumed, released, or given back after a crash."""
    JOB_RUNNING = "job.running"
    """A worker has taken the job up."""
    JOB_PAUSED = "job.paused"
    """The job rests on a checkpoint until it is resumed."""
    JOB_SUCCEEDED = "job.succeeded"
    """The job was trained to the end and has a result."""
    JOB_FAILED = "job.failed"
    """The job ended with an error."""
    JOB_CANCELLED = "job.cancelled"
    """The job ended on request."""
    TEST = "webhook.test"
    """Somebody asked for a test; nothing has happened."""


OF_STATE: Final = {
    JobState.QUEUED: EventType.JOB_QUEUED,
    JobState.RUNNING: EventType.JOB_RUNNING,
    JobState.PAUSED: EventType.JOB_PAUSED,
    JobState.SUCCEEDED: EventType.JOB_SUCCEEDED,
    JobState.FAILED: EventType.JOB_FAILED,
    JobState.CANCELLED: EventType.JOB_CANCELLED,
}
"""The states that are told when a job reaches them. `pausing` and `cancelling` pass within seconds and are left out."""


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    """It is to be sent, for the first time or again."""
    DELIVERED = "delivered"
    """The receiver answered with 2xx."""
    DEAD = "dead"
    """It is not sent again unless somebody asks for that."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt: a status code, or an error where no answer came."""

    status_code: int | None = None
    error: str | None = None
    """Why it counts as failed, in a sentence; None for one that arrived."""
    reply: str | None = None
    """How the answer began."""
    duration_ms: float = 0.0
    retry_after_seconds: float | None = None

    @property
    def arrived(self) -> bool:
        """Whether the receiver took the message: any answer from 200 to 299."""
        return self.status_code is not None and 200 <= self.status_code < 300

    @property
    def is_gone(self) -> bool:
        """Whether the receiver asks never to be called again."""
        return self.status_code == 410

    def plain(self) -> "Outcome":
        """Without what a database cannot store."""
        return replace(self, error=numbers.to_json(self.error), reply=numbers.to_json(self.reply))


def wait_seconds(outcome: Outcome, tries: int) -> float | None:
    """How long to wait after the `tries`-th attempt failed with this outcome; None when there is to be no other."""
    if outcome.is_gone or tries > len(BACKOFF_SECONDS):
        return None
    asked = min(outcome.retry_after_seconds or 0.0, LONGEST_RETRY_AFTER)
    return max(BACKOFF_SECONDS[tries - 1], asked)


def moved(before: Job | None, after: Job, actor: str, at: float) -> str:
    """The body of the message about a move of a job, as it is signed and sent; `before` is None for a job just made."""
    data = {
        "job_id": after.id,
        "name": after.name,
        "metadata": after.metadata,
        "status": after.state.value,
        "previous_status": before.state.value if before else None,
        "status_reason": after.status_reason,
        "actor": actor,
        "sequence": after.event_seq,
        "attempt": after.attempt,
        "created_at": _time(after.created_at),
        "started_at": _time(after.started_at),
        "finished_at": _time(after.finished_at),
        "progress": {"epoch": after.epoch, "epochs": after.epochs, "step": after.step, "steps": after.steps},
        "latest_metrics": after.latest_metrics,
        "best": after.best,
        "error": after.error,
        "links": {"self": f"/v1/jobs/{after.id}"},
    }
    return body(OF_STATE[after.state], at, data)


def body(kind: EventType, at: float, data: Json) -> str:
    """A message as Standard Webhooks lays it out. ASCII, so that every reader counts the same bytes under the signature."""
    return json.dumps({"type": kind.value, "timestamp": _time(at), "data": numbers.to_json(data)}, separators=(",", ":"))


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

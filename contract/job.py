"""What a job is: its states, the moves allowed between them, and the row that holds everything known about it."""

import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

Json = dict[str, Any]


class JobState(StrEnum):
    """Where a job stands. The last three are terminal and never change."""

    QUEUED = "queued"
    """Waits for a worker, for the first time or again."""
    RUNNING = "running"
    """A worker holds its lease."""
    PAUSING = "pausing"
    """Asked to pause; the worker writes a checkpoint."""
    PAUSED = "paused"
    """Rests on a checkpoint until resumed."""
    CANCELLING = "cancelling"
    """Asked to cancel; the worker writes a checkpoint."""
    SUCCEEDED = "succeeded"
    """Trained to the end, with a result."""
    FAILED = "failed"
    """Ended with an error that says why and what to do."""
    CANCELLED = "cancelled"
    """Ended on request."""


TERMINAL: Final = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})
OPEN: Final = frozenset(JobState) - TERMINAL
"""States of a job that has not ended."""
HELD: Final = frozenset({JobState.RUNNING, JobState.PAUSING, JobState.CANCELLING})
"""States in which a worker holds the job's lease."""

_S = JobState
MOVES: Final = MappingProxyType({
    _S.QUEUED: frozenset({_S.RUNNING, _S.PAUSED, _S.CANCELLED, _S.FAILED}),
    _S.RUNNING: frozenset({_S.SUCCEEDED, _S.FAILED, _S.PAUSING, _S.CANCELLING, _S.QUEUED}),
    # A job that finishes while it is asked to pause has nothing left to pause.
    _S.PAUSING: frozenset({_S.PAUSED, _S.CANCELLING, _S.SUCCEEDED, _S.FAILED}),
    _S.PAUSED: frozenset({_S.QUEUED, _S.CANCELLED}),
    _S.CANCELLING: frozenset({_S.CANCELLED}),
    _S.SUCCEEDED: frozenset(),
    _S.FAILED: frozenset(),
    _S.CANCELLED: frozenset(),
})  # fmt: skip
"""The moves allowed: from each state, the states that may follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One row of the jobs table. Times are seconds since 1970 (UTC) on the database's clock; JSON columns are plain data.

    A non-finite number in a JSON column is one of the strings "NaN", "Infinity", "-Infinity".
    """

    id: str
    tenant: str
    name: str | None
    metadata: Json
    spec: Json
    spec_sha256: str
    """Of the spec with every default filled in, as canonical JSON."""
    idempotency_key: str | None = None
    request_sha256: str | None = None

    state: JobState = JobState.QUEUED
    status_reason: str | None = None
    error: Json | None = None
    """`code`, `message`, `hint`, `retryable` of a failure."""
    version: int = 1
    """Rises by one with every change of the row but that of a ring, which shows nowhere."""

    priority: int = 0
    device: str = "auto"
    available_at: float = 0.0
    """Not to be claimed before: the backoff after a crash or a release."""
    created_at: float = 0.0
    updated_at: float = 0.0
    started_at: float | None = None
    """Of the first attempt."""
    finished_at: float | None = None
    queue_deadline_at: float = 0.0
    deadline_at: float | None = None

    fence: int = 0
    """Rises with every claim and every expiry: what an earlier owner still writes bears an older fence and is refused."""
    owner: str | None = None
    lease_until: float | None = None
    attempt: int = 0
    crash_count: int = 0
    crash_count_since_progress: int = 0
    release_count: int = 0
    releases_since_progress: int = 0
    """Releases in a row because of its surroundings, as a full disk: each waits longer than the one before."""
    next_ring_at: float = 0.0
    ring_seq: int = 0
    paused_at: float | None = None
    """Since when it rests. Its limits do not run meanwhile."""
    told: int = 0
    """Batches of news that the present owner has told: one sent again, because its answer was lost, is not written twice."""
    cancel_requested_at: float | None = None
    cancel_deadline: float | None = None

    epoch: int = 0
    """Epochs done."""
    epochs: int = 0
    step: int = 0
    steps: int | None = None
    """Steps of the whole job; known once the data is."""
    latest_metrics: Json = dataclasses.field(default_factory=dict)
    data: Json | None = None
    """Which data was used: name, source, SHA-256, rows. Known once training has started."""
    machine: Json | None = None
    env_fingerprint: str | None = None
    parameters: int | None = None

    checkpoint_id: str | None = None
    """The last one stored: where a resume begins."""
    checkpoint_seq: int = 0
    best_checkpoint_id: str | None = None
    best: Json | None = None
    """`checkpoint_id`, `epoch`, `metric`, `value` of the best checkpoint."""

    resumes_on: str | None = None
    """The class of machine that alone may resume it; None where any may, or where there is nothing to resume."""

    parent_job_id: str | None = None
    parent_relation: str | None = None
    start_checkpoint_id: str | None = None
    """The parent's checkpoint that it begins from, until it has one of its own."""
    init_checkpoint_id: str | None = None
    """The checkpoint whose weights it starts from, of whichever job: `init_from` of its spec."""
    deleted_at: float | None = None
    """When its owner deleted it: from then on nobody sees it, and later its row and bytes are purged."""
    event_seq: int = 0
    """Of the newest event."""

    @property
    def is_terminal(self) -> bool:
        """Whether it has ended, and so never changes again."""
        return self.state in TERMINAL

    @property
    def is_held(self) -> bool:
        """Whether a worker owns it: it has a lease then."""
        return self.state in HELD

    @property
    def standing(self) -> str:
        """Its state as a sentence says it of a job: `is queued`, `has succeeded`, `was cancelled`."""
        match self.state:
            case JobState.SUCCEEDED | JobState.FAILED:
                return f"has {self.state.value}"
            case JobState.CANCELLED:
                return "was cancelled"
        return f"is {self.state.value}"


FIELDS: Final = tuple(field.name for field in dataclasses.fields(Job))

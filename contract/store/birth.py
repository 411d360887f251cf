"""What a job holds when it comes into being, and the first line of its history."""

import hashlib
import json

from contract import ids, lifecycle
from contract.continuation import Continuation
from contract.job import Job, Json
from contract.spec import JobSpec
from contract.store import rows


def of(tenant: str, spec: JobSpec, now: float, origin: Continuation | None = None) -> Job:
    """A job of this spec, not yet written down, with its first event counted; `origin` is what it goes on from."""
    document = spec.model_dump(mode="json")
    return Job(
        id=ids.job(),
        tenant=tenant,
        name=spec.name,
        metadata=dict(spec.metadata),
        spec=document,
        spec_sha256=sha256(document),
        status_reason=f"{origin.relation} of {origin.parent_job_id}" if origin else "submitted",
        priority=spec.priority,
        device=spec.device,
        available_at=now,
        created_at=now,
        updated_at=now,
        queue_deadline_at=now + spec.limits.max_queue_seconds,
        # The submitter rings once itself; the reconciler rings again if nobody came.
        next_ring_at=now + lifecycle.RING_SECONDS,
        epochs=spec.most_epochs,
        parent_job_id=origin.parent_job_id if origin else None,
        parent_relation=origin.relation.value if origin else None,
        start_checkpoint_id=origin.start_checkpoint_id if origin else None,
        init_checkpoint_id=spec.init_from,
        resumes_on=origin.resumes_on if origin else None,
        best=origin.best if origin else None,
        best_checkpoint_id=origin.best["checkpoint_id"] if origin and origin.best else None,
        event_seq=1,
    )


def event(job: Job) -> rows.Event:
    """The first event of a job just written: what reading it would give."""
    note = rows.born(job)
    return rows.Event(job.id, 1, job.created_at, note.type, note.level, note.message, note.data)


def sha256(document: Json) -> str:
    """Of a document as canonical JSON."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

"""What the ETag of a job is made of, and what a client that names one holds or insists on."""

import hashlib
import json
from functools import cache

from contract.job import Job
from service import shapes
from service.errors import PreconditionFailedError


def of(job: Job, place: shapes.QueuePlace | None) -> str:
    """A strong entity tag of what a reply shows of the job: version and place in the queue, and last what If-Match goes by.

    Made without the reply. Other services show other fields of the same version, so their shape is in it as well.
    """
    queue = place.model_dump_json() if place else ""
    return f'"{job.version}-{_short(_shape() + queue)}-{_guarded(job)}"'


def holds(if_none_match: str | None, etag: str) -> bool:
    """Whether the client has this representation already (weak comparison, RFC 9110, section 13.1.2)."""
    return any(tag == "*" or tag.removeprefix("W/") == etag for tag in _tags(if_none_match))


def assert_match(if_match: str | None, job: Job) -> None:
    """Raises PreconditionFailedError unless one of the tags was given out for the job as clients can change it.

    Name, labels, priority and status count, and not how far training has come: else nobody could ever change a running job, whose
    representation is another one twice a second.
    """
    if if_match is None:
        return
    if not any(tag == "*" or (tag.startswith('"') and tag.endswith(f'-{_guarded(job)}"')) for tag in _tags(if_match)):
        raise PreconditionFailedError(f"job {job.id} was changed since; read it again, and send If-Match with its ETag of now")


def _guarded(job: Job) -> str:
    return _short(json.dumps([job.id, job.name, job.metadata, job.priority, job.state.value], sort_keys=True))


def _tags(header: str | None) -> list[str]:
    return [tag.strip() for tag in (header or "").split(",") if tag.strip()]


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@cache
def _shape() -> str:
    return json.dumps(shapes.Job.model_json_schema(), sort_keys=True)

"""What an endpoint may ask for: the store and its kin, the tenant, and the job that its path names."""

import re
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Path, Request

from contract.artifacts import Artifacts as ArtifactStore
from contract.job import Job as JobRow
from contract.store import Store as SqlStore
from contract.store import jobs
from service.bell import Bell as RingThread
from service.callers import Caller as Sender
from service.errors import UnknownNameError
from service.state import State as Held

_JOB_ID: Final = re.compile(r"job_[0-9a-z]{26}")


async def _caller(request: Request) -> Sender:
    # Whoever got here was let in, by their route's door. A public route has nobody to ask about, and fails here.
    sender: Sender = request.scope["caller"]
    return sender


Caller = Annotated[Sender, Depends(_caller)]


# What follows asks the request itself rather than another dependency: FastAPI takes as long to resolve each as to read a row.


async def tenant(request: Request) -> str:
    """Whose jobs these are: the tenant of the key, or `default` where there are no keys."""
    return (await _caller(request)).tenant


async def _state(request: Request) -> Held:
    held: Held = request.app.state.held
    return held


State = Annotated[Held, Depends(_state)]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request acts: on the running service, for a tenant."""

    state: Held
    tenant: str


async def _here(request: Request) -> Place:
    return Place(await _state(request), await tenant(request))


Here = Annotated[Place, Depends(_here)]
"""As `State` and `Tenant`, in one: for the routes that are asked most often."""


async def _store(request: Request) -> SqlStore:
    return (await _state(request)).store


async def _artifacts(request: Request) -> ArtifactStore:
    return (await _state(request)).artifacts


async def _bell(request: Request) -> RingThread:
    return (await _state(request)).bell


Store = Annotated[SqlStore, Depends(_store)]
Artifacts = Annotated[ArtifactStore, Depends(_artifacts)]
Bell = Annotated[RingThread, Depends(_bell)]
Tenant = Annotated[str, Depends(tenant)]


async def _job_id(job_id: Annotated[str, Path(description="The job's `id`.", examples=["job_01kaj3v2m4n5p6q7r8s9t0v1w2"])]) -> str:
    # Anything else cannot be in the store, and some of it could not even be asked for there.
    if not is_job_id(job_id):
        raise UnknownNameError("job")
    return job_id


JobId = Annotated[str, Depends(_job_id)]


def is_job_id(text: str) -> bool:
    """Whether it has the form of a job's id."""
    return _JOB_ID.fullmatch(text) is not None


def known(store: SqlStore, tenant: str, job_id: str) -> JobRow:
    """The job of a query or a body. Raises NotFoundError, also for what is no id at all."""
    if not is_job_id(job_id):
        raise UnknownNameError("job")
    return jobs.get(store, tenant, job_id)


def _job(job_id: JobId, store: Store, tenant: Tenant) -> JobRow:
    return jobs.get(store, tenant, job_id)


Job = Annotated[JobRow, Depends(_job)]
"""The job that the path names. Answers 404 where there is none, or it is another tenant's."""

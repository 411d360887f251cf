"""How a request that makes a job can be repeated: its Idempotency-Key, and the reply that says which job it made."""

import re
from typing import Annotated, Final

from fastapi import Header, Response, status
from fastapi.concurrency import run_in_threadpool

from contract.store.submissions import Submission
from service import shapes, shown
from service.errors import BadHeaderError
from service.openapi import header
from service.state import State

_KEY: Final = re.compile(r"[\x20-\x7e]{1,255}")
CREATED: Final = {
    "Location": header("Path of the job."),
    "ETag": header("Of the job as it is shown."),
    "Idempotency-Replayed": header("`true` on the reply to a repeated key."),
}
"""Headers of the reply to a request that makes a job."""

Key = Annotated[str | None, Header(alias="Idempotency-Key", description="Any text of your own, 1 to 255 printable characters.")]


def read(given: str | None) -> str | None:
    """The key, if there is one. Raises BadHeaderError for what cannot be stored."""
    if given is not None and not _KEY.fullmatch(given):
        raise BadHeaderError("an Idempotency-Key has 1 to 255 printable ASCII characters; a UUID does well")
    return given


async def born(submission: Submission, state: State) -> Response:
    """As `created`, for a job that nobody asked for before: what is said of it is known, and is written as it is."""
    state.bell.ring(submission.job.id)
    if not state.forecast.is_fresh:
        await run_in_threadpool(state.forecast.look, state.store)
    job, etag = shown.new(state, submission.job, submission.place)
    headers = {"Location": f"/v1/jobs/{submission.job.id}", "ETag": etag}
    return Response(job.model_dump_json(by_alias=True), status.HTTP_201_CREATED, headers, "application/json")


def created(submission: Submission, response: Response, state: State) -> shapes.Job:
    """Tell a worker of a job that is new, and show it with where it is."""
    if submission.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return at(submission, response, state)


def at(submission: Submission, response: Response, state: State) -> shapes.Job:
    """As `created`, where a job that was there already is no replay of a key."""
    if not submission.replayed:
        state.bell.ring(submission.job.id)
    response.headers["Location"] = f"/v1/jobs/{submission.job.id}"
    return shown.one(state, submission.job, response)

"""What a job has said and says: as pages, or as a stream that resumes without a gap."""

from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from contract.store import jobs
from service import deps, shapes, sse, views
from service.openapi import EVENT_STREAM, problems

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["progress"])

_LARGEST: Final = 2**53


class Span(BaseModel):
    """Which events a page shows."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    after: Annotated[int, Field(ge=0, le=_LARGEST)] = 0
    """Only events with a higher `seq`."""
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    """Events a page; a stream has no limit."""


@router.get(
    "/events",
    operation_id="list_events",
    summary="Read or follow a job's events",
    response_model=shapes.EventList,
    responses={200: EVENT_STREAM, **problems(400, 404, 422, 503)},
)
def events(
    job: deps.Job,
    span: Annotated[Span, Query()],
    state: deps.State,
    response: Response,
    accept: Annotated[str, Header(description="`text/event-stream` asks for the stream.")] = "",
    last_event_id: Annotated[str | None, Header(description="Of a stream: the `id` heard last. Goes before `after`.")] = None,
) -> Response | shapes.EventList:
    """The job's history, oldest first: a page of JSON, or with `Accept: text/event-stream` a stream that tells the past at
    once, the rest as it happens, and ends after the job's last event.

    In the stream, events bear their `seq` as `id`, so a client that reconnects with `Last-Event-ID` misses nothing. Between
    them `metrics` frames without id show the numbers of the moment; they are not kept. An id that is none of this job's is
    answered with one `resync`, and the history from its beginning.
    """
    if "text/event-stream" in accept.lower():
        heard = _seq(last_event_id) if last_event_id else span.after
        return StreamingResponse(sse.stream(state.tails, job, heard, state.stopping), headers=sse.HEADERS, media_type="text/event-stream")
    response.headers["Vary"] = "Accept"
    found = jobs.events(state.store, job.id, span.after, span.limit + 1)
    shown = found[: span.limit]
    more = len(found) > len(shown)
    return shapes.EventList(data=[views.event(event) for event in shown], has_more=more, next_cursor=str(shown[-1].seq) if more else None)


def _seq(given: str) -> int | None:
    """The seq that an event id is; None for what no stream gave out. Refusing it would end a browser's EventSource for good."""
    return int(given) if given.isascii() and given.isdecimal() and len(given) <= 15 else None

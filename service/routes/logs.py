"""What a job logged, as a list or as plain text."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from contract.job import Json
from contract.store import lines
from contract.store.rows import Level
from service import accept as forms
from service import deps, shapes, views
from service.openapi import problems

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["progress"])

_TEXT: Final = "text/plain"
_LARGEST: Final = 2**53
_FORMS: Final[Json] = {
    "description": "The lines; as `text/plain` each in one line of text, with a Link header to the next page where there is one.",
    "content": {_TEXT: {"schema": {"type": "string"}, "example": "2026-11-22T07:15:00.123Z info    queued: submitted\n"}},
}


class Lines(BaseModel):
    """Which lines to show."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    level: Level = "info"
    """This level and those above it: `info`, `warning`, `error`."""
    q: Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")] = ""
    """Only lines that contain this, in whatever case."""
    after: Annotated[int, Field(ge=0, le=_LARGEST)] = 0
    """Only lines with a higher `seq`; `next_cursor` of the page before."""
    tail: Annotated[int | None, Field(ge=1, le=1000)] = None
    """The last so many, in place of the first."""
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    """Lines a page."""


@router.get(
    "/logs",
    operation_id="list_logs",
    summary="Read what a job logged",
    response_model=shapes.LogPage,
    responses={200: _FORMS, **problems(404, 406, 422, 503)},
)
def listed(
    job: deps.Job,
    asked: Annotated[Lines, Query()],
    store: deps.Store,
    request: Request,
    accept: Annotated[str | None, Header(description="`application/json` or `text/plain`.")] = None,
) -> Response:
    """Its moves between states, its warnings, on which machine and data each attempt began, and the last hundred lines that its
    trainer wrote to standard error before it died or hung. What else a trainer writes there is in the log of its worker, not here.
    """
    form = forms.chosen(accept, ("application/json", _TEXT))
    page = _page(store, job.id, asked)
    headers = {"Vary": "Accept"}
    if form == _TEXT:
        if page.next_cursor:
            headers["Link"] = f'<{request.url.path}?{request.url.include_query_params(after=page.next_cursor).query}>; rel="next"'
        return Response("".join(_text(page.data)), headers=headers, media_type=form)
    return Response(page.model_dump_json(), headers=headers, media_type=form)


def _page(store: deps.Store, job_id: str, asked: Lines) -> shapes.LogPage:
    if asked.tail is not None:
        found = lines.newest(store, job_id, asked.level, asked.q, asked.after, asked.tail)
        return shapes.LogPage(data=[views.log_line(row) for row in found])
    found = lines.found(store, job_id, asked.level, asked.q, asked.after, asked.limit + 1)
    shown = found[: asked.limit]
    more = len(found) > len(shown)
    return shapes.LogPage(data=[views.log_line(row) for row in shown], has_more=more, next_cursor=str(shown[-1].seq) if more else None)


def _text(shown: Sequence[shapes.LogLine]) -> Iterator[str]:
    for line in shown:
        yield f"{line.at} {line.level:7} {line.message}\n"
        yield from (f"    {attached}\n" for attached in line.lines)

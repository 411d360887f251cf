"""Pictures of a job, for a report or a page that cannot draw."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Header, Path, Query, Response, status
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from service import deps, plots, ranges
from service.errors import UnknownNameError
from service.openapi import header, problems
from service.plots import canvas
from service.plots.canvas import Paper

router = APIRouter(prefix="/v1/jobs/{job_id}/plots", tags=["results"])

_PICTURE: Final[dict[str, Any]] = {
    "image/png": {"schema": {"type": "string", "format": "binary"}},
    "image/svg+xml": {"schema": {"type": "string"}},
}
_HEADERS: Final = {
    "ETag": header("Changes with what the picture shows, and with how."),
    "Cache-Control": header("`private, no-cache`: keep it, and ask with If-None-Match whether it still holds."),
}


class Look(BaseModel):
    """How a picture looks."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    theme: Literal["light", "dark"] = "light"
    """What it is drawn for: a light page or a dark one."""
    width: Annotated[int, Field(ge=200, le=1600)] = 800
    """Pixels at 100 dots an inch."""
    height: Annotated[int, Field(ge=150, le=1600)] = 480
    """Pixels at 100 dots an inch."""
    dpi: Annotated[int, Field(ge=50, le=200)] = 100
    """Dots an inch: a PNG has `width` x `dpi` / 100 pixels across, and letters grow with it."""


@router.get(
    "/{plot}.{format}",
    operation_id="get_plot",
    summary="Draw a picture of a job",
    response_class=Response,
    responses={
        200: {"description": "The picture.", "content": _PICTURE, "headers": _HEADERS},
        304: {"description": "The client has this picture already."},
        **problems(404, 409, 410, 422, 503),
    },
)
async def get(
    job: deps.Job,
    store: deps.Store,
    artifacts: deps.Artifacts,
    look: Annotated[Look, Query()],
    plot: Annotated[str, Path(description="What to draw.", json_schema_extra={"enum": [*plots.KINDS]})],
    format: Annotated[str, Path(description="As what.", json_schema_extra={"enum": [*canvas.MEDIA_TYPES]})],
    if_none_match: Annotated[str | None, Header(description="ETag of the picture that the client has.")] = None,
) -> Response:
    """`loss` shows each term by itself over the epochs, also while the job trains; `filters` the first layer in the best checkpoint;
    `confusion` and `sparsity` are drawn from the result. The same numbers give the same bytes.

    409 `not_finished` while there is nothing to draw yet, 409 `no_result` where there never will be.
    """
    if plot not in plots.KINDS or format not in canvas.MEDIA_TYPES:
        raise UnknownNameError(f"picture; there are {', '.join(plots.KINDS)}, each as .png and .svg")
    drawing = await run_in_threadpool(plots.KINDS[plot], store, artifacts, job)
    paper = Paper("png" if format == "png" else "svg", look.theme, look.width, look.height, look.dpi)
    headers = {"ETag": canvas.etag(drawing, paper), "Cache-Control": "private, no-cache"}
    if ranges.is_known(if_none_match, headers["ETag"]):
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=headers)
    # An SVG opened by itself is a page: this one may do nothing.
    headers |= {
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
        "Content-Disposition": _name(job.id, plot, format),
    }
    return Response(await canvas.drawn(drawing, paper), headers=headers, media_type=canvas.MEDIA_TYPES[paper.format])


def _name(job_id: str, plot: str, format: str) -> str:
    return f'inline; filename="{job_id}-{plot}.{format}"'

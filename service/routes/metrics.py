"""The numbers of a job, step by step or epoch by epoch, thinned to what can be drawn, as JSON, CSV or JSON lines."""

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from contract.job import Job, Json
from contract.store import metrics, thinning
from service import accept as forms
from service import deps, series, shapes, views
from service.openapi import problems

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["progress"])

_LARGEST: Final = 2**53
_MOST_NAMES: Final = 64


class Series(BaseModel):
    """Which numbers to show."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    names: Annotated[list[Annotated[str, Field(max_length=1000)]], Field(max_length=_MOST_NAMES)] = []
    """Only these metrics, as `val.loss`; repeat it, or put commas between them, for several. All of them by default."""
    scope: metrics.Scope | None = None
    """`step`: means since the report before; `epoch`: of whole epochs. Both by default."""
    step_from: Annotated[int, Field(ge=0, le=_LARGEST)] = 0
    """From this step on."""
    step_to: Annotated[int | None, Field(ge=0, le=_LARGEST)] = None
    """Up to and with this step."""
    max_points: Annotated[int, Field(ge=1, le=5000)] = 1000
    """At most so many points; a longer series is thinned evenly, its first, last and best point kept."""


_FORMS: Final[Json] = {
    "description": "The points; as `text/csv` with a column for each metric, as `application/x-ndjson` one MetricPoint a line.",
    "content": {
        series.CSV: {"schema": {"type": "string"}, "example": "step,scope,epoch,at,val.loss\n938,epoch,1,2026-11-22T07:15:00.123Z,0.31\n"},
        series.LINES: {"schema": {"type": "string", "description": "A MetricPoint on each line."}},
    },
}


@router.get(
    "/metrics",
    operation_id="list_metrics",
    summary="Read a job's metrics",
    response_model=shapes.MetricList,
    responses={200: _FORMS, **problems(404, 406, 422, 503)},
)
def listed(
    job: deps.Job,
    asked: Annotated[Series, Query()],
    store: deps.Store,
    accept: Annotated[str | None, Header(description="`application/json`, `text/csv` or `application/x-ndjson`.")] = None,
) -> Response:
    """Points in the order of their steps. A non-finite value is "NaN", "Infinity" or "-Infinity".

    A series of more than `max_points` is thinned evenly over its steps. First and last are kept, and the best: of the names asked
    for, or of the metric that the job's checkpoints go by. It is looked for among the means of whole epochs, and among single
    reports too where they lie within 20,000 steps.
    """
    form = forms.chosen(accept, series.FORMS)
    names = [name for given in asked.names for name in given.split(",") if name][:_MOST_NAMES]
    found = thinning.thinned(store, job.id, asked.scope, asked.step_from, asked.step_to, names, asked.max_points, _bests(job, names))
    points = [views.point(point, point.values) for point in found]
    headers = {"Vary": "Accept"}
    match form:
        case series.CSV:
            headers["Content-Disposition"] = f'attachment; filename="{job.id}-metrics.csv"'
            return StreamingResponse(series.csv_rows(points), headers=headers, media_type=form)
        case series.LINES:
            return StreamingResponse(series.lines(points), headers=headers, media_type=form)
    return Response(shapes.MetricList(data=points).model_dump_json(), headers=headers, media_type=form)


def _bests(job: Job, names: list[str]) -> thinning.Bests:
    policy = job.spec["checkpoints"]
    return {name: policy["mode"] if name == policy["monitor"] else _mode(name) for name in names or [policy["monitor"]]}


def _mode(name: str) -> Literal["min", "max"]:
    """What is better of a metric that the spec says nothing of: more of an accuracy, less of anything else."""
    return "max" if name.endswith("accuracy") else "min"

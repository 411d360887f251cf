"""The numbers of a job, step by step or epoch by epoch, thinned to what can be drawn."""

from collections.abc import Sequence
from typing import Annotated, Final, TypeVar

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from contract.job import Json
from contract.store import metrics
from service import deps, shapes, views
from service.openapi import problems

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["progress"])

Point = TypeVar("Point")
MAX_READ: Final = 20_000
"""Points read at once; a longer series comes in pages."""
_LARGEST: Final = 2**53


class Series(BaseModel):
    """Which numbers to show."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    names: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=64)] = []
    """Only these metrics, as `val.loss`; repeat it for several. All of them by default."""
    scope: metrics.Scope | None = None
    """`step`: means since the report before; `epoch`: of whole epochs. Both by default."""
    step_from: Annotated[int, Field(ge=0, le=_LARGEST)] = 0
    """From this step on."""
    step_to: Annotated[int | None, Field(ge=0, le=_LARGEST)] = None
    """Up to and with this step."""
    max_points: Annotated[int, Field(ge=1, le=5000)] = 1000
    """At most so many points; a longer series is thinned evenly, its first and last point kept."""


@router.get("/metrics", operation_id="list_metrics", summary="Read a job's metrics", responses=problems(404, 422, 503))
def listed(job: deps.Job, series: Annotated[Series, Query()], store: deps.Store) -> shapes.MetricList:
    """Points in the order of their steps. A non-finite value is "NaN", "Infinity" or "-Infinity".

    A series of more than 20,000 points comes in pages: give `next_cursor` as the next `step_from`.
    """
    read = metrics.read(store, job.id, series.scope, series.step_from, series.step_to, MAX_READ + 1)
    beyond = read[MAX_READ].step if len(read) > MAX_READ else None
    whole = read if beyond is None else [point for point in read if point.step < beyond]
    points = [views.point(point, values) for point in whole if (values := _chosen(point.values, series.names))]
    return shapes.MetricList(
        data=thinned(points, series.max_points), has_more=beyond is not None, next_cursor=None if beyond is None else str(beyond)
    )


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """At most so many of the points, evenly chosen, the first and the last among them."""
    if len(points) <= most:
        return list(points)
    gap = (len(points) - 1) / max(1, most - 1)
    return [points[-1]] if most == 1 else [points[round(index * gap)] for index in range(most)]


def _chosen(values: Json, names: Sequence[str]) -> Json:
    return {name: value for name, value in values.items() if name in names} if names else values

"""What Prometheus scrapes."""

from typing import Annotated, Final

from fastapi import APIRouter, Header, Request, Response

from service import deps, measures

router = APIRouter(tags=["service"])

_TEXT: Final = {
    "text/plain": {"schema": {"type": "string"}, "example": 'ridgeline_up{part="store"} 1.0\nridgeline_queued_unclaimed 0.0\n'},
    "application/openmetrics-text": {"schema": {"type": "string"}},
}


@router.get(
    "/metrics",
    operation_id="get_prometheus_metrics",
    summary="Read gauges and counters as Prometheus does",
    response_class=Response,
    responses={200: {"description": "In Prometheus' text format, or in OpenMetrics by `Accept`.", "content": _TEXT}},
)
def scraped(
    request: Request, state: deps.State, accept: Annotated[str, Header(description="As scrapers send it.")] = "text/plain"
) -> Response:
    """The queue, jobs and workers of all tenants, counts that are 0 while every promise is kept, and the requests to this process.

    No label holds an id or a path. While the database is away it still answers, with `ridgeline_up{part="store"} 0`. Where several
    processes serve, scrape each: the counters are its own.
    """
    text, media_type = measures.exposition(accept, measures.Scrape(request.app.state.measures, state.store))
    return Response(text, headers={"Content-Type": media_type, "Cache-Control": "no-store"})

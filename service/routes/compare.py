"""Several jobs side by side: in what their specs differ, how they went, what they found."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from contract import comparison
from contract.job import Job
from contract.store import Store, jobs, metrics
from service import deps, shapes
from service.openapi import problems

router = APIRouter(prefix="/v1", tags=["results"])

MAX_EPOCHS: Final = 10_000
_USUAL: Final = ("train.loss", "val.loss", "val.accuracy")


def _several(given: list[str]) -> list[str]:
    found = list(dict.fromkeys(job_id for part in given for job_id in part.split(",") if job_id))
    if not 2 <= len(found) <= 10:
        raise ValueError(f"name 2 to 10 jobs, as ids=job_a,job_b; these are {len(found)}")
    return found


class Selection(BaseModel):
    """Which jobs to compare, and by which numbers."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    ids: Annotated[list[Annotated[str, Field(max_length=400)]], Field(max_length=10), AfterValidator(_several)]
    """The jobs' ids, 2 to 10, with commas between or repeated."""
    names: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=16)] = list(_USUAL)
    """Metrics whose series are shown, as `val.loss`; repeat it for several."""
    max_points: Annotated[int, Field(ge=1, le=5000)] = 500
    """At most so many epochs of each series; longer ones are thinned evenly, the first and the last kept."""


@router.get("/compare", operation_id="compare_jobs", summary="Compare jobs", responses=problems(404, 422, 503))
def compare(asked: Annotated[Selection, Query()], store: deps.Store, tenant: deps.Tenant) -> shapes.Comparison:
    """Only what differs in the jobs' specs, their metrics epoch by epoch, and their results side by side. They may stand anywhere."""
    found = [deps.known(store, tenant, job_id) for job_id in asked.ids]
    told = comparison.differences([job.spec for job in found])
    return shapes.Comparison(
        jobs=[shapes.ComparedJob(id=job.id, name=job.name, status=job.state, result=_result(store, job)) for job in found],
        differences=[shapes.Difference(pointer=pointer, values=_present(found, values)) for pointer, values in told],
        series=_series(store, found, asked),
    )


def _present(found: list[Job], values: list[Any]) -> dict[str, Any]:
    return {job.id: value for job, value in zip(found, values, strict=True) if value is not comparison.ABSENT}


def _result(store: Store, job: Job) -> shapes.ComparedResult | None:
    body = jobs.result(store, job.id)
    if body is None:
        return None
    # As it was committed, whichever version wrote it.
    layers = body.get("layers") or []
    return shapes.ComparedResult(
        stop_reason=body.get("stop_reason"),
        epochs=body.get("epochs"),
        metrics=body.get("metrics") or {},
        best_epoch=body.get("best_epoch"),
        best_metrics=body.get("best_metrics") or {},
        parameters=body.get("parameters"),
        weights=sum(layer["size"] for layer in layers),
        zeros=sum(layer["zeros"] for layer in layers),
        train_seconds=(body.get("timings") or {}).get("train"),
        samples_per_second=body.get("samples_per_second"),
    )


def _evenly(epochs: list[int], most: int) -> list[int]:
    """At most so many of the epochs, the first and the last among them."""
    if len(epochs) <= most:
        return epochs
    gap = (len(epochs) - 1) / max(1, most - 1)
    return [epochs[-1]] if most == 1 else [epochs[round(index * gap)] for index in range(most)]


def _series(store: Store, found: list[Job], asked: Selection) -> list[shapes.ComparedSeries]:
    points = {job.id: {point.epoch: point.values for point in metrics.read(store, job.id, "epoch", limit=MAX_EPOCHS)} for job in found}
    epochs = _evenly(sorted({epoch for known in points.values() for epoch in known}), asked.max_points)
    return [
        shapes.ComparedSeries(
            name=name,
            epochs=epochs,
            values={job_id: [known.get(epoch, {}).get(name) for epoch in epochs] for job_id, known in points.items()},
        )
        for name in dict.fromkeys(asked.names)
        if any(name in values for known in points.values() for values in known.values())
    ]

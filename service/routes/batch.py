"""Many jobs in one request: each is told apart, and one that cannot be done keeps none of the others."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from fastapi import APIRouter

from contract.errors import RequestError
from contract.job import TERMINAL, Job, JobState
from contract.store import Store, jobs, listing, removal
from service import actions, deps, errors, shapes
from service.bodies import BATCH_BODY
from service.body import Document
from service.openapi import problems

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

_TO_CANCEL: Final = tuple(state for state in JobState if state not in TERMINAL | {JobState.CANCELLING})
_TO_DELETE: Final = tuple(state for state in JobState if state in TERMINAL)
Deed = Callable[[str], tuple[int, Job]]
"""The status that the route for one job would have answered, and the job."""


@router.post(
    "/cancel",
    operation_id="cancel_jobs",
    summary="Cancel many jobs",
    responses=problems(400, 413, 415, 422, 503),
    openapi_extra=BATCH_BODY,
)
def cancel(document: Document, store: deps.Store, tenant: deps.Tenant) -> shapes.OutcomeList:
    """As `/cancel` of each job, for up to 100 at once: those named by `ids`, or the newest that pass the filters, by default of those that
    can be cancelled. The reply is a 200 that tells of each; `has_more` says that the filters hold for others too. Harmless to repeat."""

    def deed(job_id: str) -> tuple[int, Job]:
        job, moved = jobs.cancel(store, tenant, job_id)
        return 202 if moved else 200, job

    return _done(store, tenant, actions.read(actions.Choice, document), _TO_CANCEL, deed)


@router.post(
    "/delete",
    operation_id="delete_jobs",
    summary="Delete many jobs",
    responses=problems(400, 413, 415, 422, 503),
    openapi_extra=BATCH_BODY,
)
def delete(document: Document, store: deps.Store, tenant: deps.Tenant) -> shapes.OutcomeList:
    """As DELETE of each job, for up to 100 at once: those named by `ids`, or the newest that pass the filters, by default of those that
    have ended. The reply is a 200 that tells of each; `has_more` says that the filters hold for others too. Harmless to repeat."""
    return _done(
        store, tenant, actions.read(actions.Choice, document), _TO_DELETE, lambda job_id: (204, removal.hide(store, tenant, job_id))
    )


def _done(store: Store, tenant: str, choice: actions.Choice, states: Sequence[JobState], deed: Deed) -> shapes.OutcomeList:
    chosen, more = _chosen(store, tenant, choice, states)
    return shapes.OutcomeList(data=list(_outcomes(chosen, deed)), has_more=more)


def _chosen(store: Store, tenant: str, choice: actions.Choice, states: Sequence[JobState]) -> tuple[list[str], bool]:
    """The ids that are meant, and whether the filters hold for more."""
    if choice.ids is not None:
        return list(dict.fromkeys(choice.ids)), False
    filters = listing.Filters(states=choice.status or states, labels=choice.label or {})
    found = [job.id for job in listing.page(store, tenant, actions.MAX_CHOSEN + 1, filters)]
    return found[: actions.MAX_CHOSEN], len(found) > actions.MAX_CHOSEN


def _outcomes(job_ids: Sequence[str], deed: Deed) -> Iterator[shapes.Outcome]:
    for job_id in job_ids:
        try:
            status, job = deed(job_id)
        except RequestError as error:
            told = shapes.OutcomeProblem(code=error.code, detail=str(error))
            yield shapes.Outcome(id=job_id, status=errors.status_of(type(error)), job_status=None, problem=told)
        else:
            yield shapes.Outcome(id=job_id, status=status, job_status=job.state, problem=None)

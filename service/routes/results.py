"""What a finished job found."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from contract.job import Job, JobState
from contract.store import jobs
from service import deps, shapes, views
from service.errors import NoResultError, NotFinishedError
from service.openapi import problems

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"])


@router.get(
    "/result", operation_id="get_result", summary="Read a job's result", response_model=shapes.Result, responses=problems(404, 409, 503)
)
def get(job: deps.Job, store: deps.Store) -> JSONResponse:
    """Metrics on the test set, the best epoch, the confusion matrix, each layer's zeros and norms, and what the run was made
    of. 409 `not_finished` while the job is on its way, 409 `no_result` for one that failed or was cancelled."""
    body = jobs.result(store, job.id)
    if body is None:
        raise _why_not(job)
    return JSONResponse(views.result(job, body))


def _why_not(job: Job) -> NotFinishedError | NoResultError:
    match job.state:
        case JobState.FAILED:
            error = job.error or {}
            return NoResultError(f"the job failed ({error.get('code')}): {error.get('message')}; {error.get('hint')}")
        case JobState.CANCELLED:
            return NoResultError("the job was cancelled before it had a result; its checkpoints are kept")
    return NotFinishedError(f"the job is {job.state.value}; its events tell when it has a result")

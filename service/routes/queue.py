"""How much waits, how long it has waited, and who works it off."""

from typing import Final

from fastapi import APIRouter

from contract.job import JobState
from contract.store import backlog, workers
from contract.store.backlog import Place
from service import deps, shapes
from service.openapi import problems

router = APIRouter(prefix="/v1", tags=["service"])

_USUAL_PRIORITY: Final = 0


@router.get("/queue", operation_id="get_queue", summary="How long the queue is", responses=problems(503))
def get(state: deps.State, tenant: deps.Tenant) -> shapes.Queue:
    """Your jobs that have not ended, by status and device, the longest wait among them, and who works. The estimate is for a job
    submitted now, behind everybody's jobs of its priority and above."""
    depths = backlog.depths(state.store, tenant)
    queued = [depth for depth in depths if depth.state is JobState.QUEUED]
    ahead = backlog.ahead(state.store, _USUAL_PRIORITY)
    fresh = [worker for worker in workers.listed(state.store) if worker.is_fresh]
    return shapes.Queue(
        queued=sum(depth.jobs for depth in queued),
        oldest_wait_seconds=max((round(depth.oldest_seconds, 3) for depth in queued), default=None),
        estimated_wait_seconds=state.forecast.wait_seconds(state.store, Place(ahead + 1, ahead)),
        depths=[shapes.QueueDepth(status=depth.state, device=depth.device, jobs=depth.jobs) for depth in depths],
        workers=shapes.QueueWorkers(
            idle=sum(worker.state == "idle" for worker in fresh),
            busy=sum(worker.state == "busy" for worker in fresh),
            others=sum(worker.state not in {"idle", "busy"} for worker in fresh),
        ),
    )

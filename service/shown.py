"""What is brought together to show a job: its row, its place in the queue and its history, none of them newer than the row."""

from collections.abc import Sequence

from fastapi import Response

from contract.job import Job
from contract.store import backlog, birth, jobs
from service import etags, looks, shapes
from service.state import State


def all_of(state: State, found: Sequence[Job]) -> list[shapes.Job]:
    """Each as a client sees it."""
    queue = places(state, found)
    moves = jobs.transitions(state.store, [job.id for job in found])
    return [looks.view(job, queue.get(job.id), moves[job.id]) for job in found]


def one(state: State, job: Job, response: Response) -> shapes.Job:
    """The job as a client sees it, with its ETag on the reply."""
    place = place_of(state, job)
    response.headers["ETag"] = etags.of(job, place)
    return at(state, job, place)


def new(state: State, job: Job, place: backlog.Place | None) -> tuple[shapes.Job, str]:
    """A job just written, and its ETag: nothing of it need be read again."""
    standing = None if place is None else looks.place(state.store, state.forecast, job, place)
    return looks.view(job, standing, [birth.event(job)]), etags.of(job, standing)


def at(state: State, job: Job, place: shapes.QueuePlace | None) -> shapes.Job:
    """The job as a client sees it, at a place that was looked up before."""
    return looks.view(job, place, jobs.transitions(state.store, [job.id])[job.id])


def place_of(state: State, job: Job) -> shapes.QueuePlace | None:
    """Where the job stands in the queue; None where it is not queued."""
    return places(state, [job]).get(job.id)


def places(state: State, found: Sequence[Job]) -> dict[str, shapes.QueuePlace]:
    """Where each of these jobs that is queued stands."""
    standing = backlog.places(state.store, found)
    return {job.id: looks.place(state.store, state.forecast, job, standing[job.id]) for job in found if job.id in standing}

"""What is brought together to show a job: its row, its place in the queue and its history, none of them newer than the row."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import Response

from contract.job import Job
from contract.store import backlog, birth, jobs, rows
from service import etags, shapes, views
from service.state import State


@dataclass(frozen=True, slots=True)
class Seen:
    """A job as it is shown to one who may know it already."""

    job: Job
    etag: str
    body: str | None
    """As JSON; None where the client has it."""


def look(state: State, tenant: str, job_id: str, if_none_match: str | None) -> Seen:
    """The job as it stands. What a client has is told by its row and place alone, without making the body. Raises NotFoundError."""
    job, standing = jobs.get_placed(state.store, tenant, job_id)
    place = None if standing is None else _place(state, job, standing)
    etag = etags.of(job, place)
    body = None if etags.holds(if_none_match, etag) else at(state, job, place).model_dump_json(by_alias=True)
    return Seen(job, etag, body)


def all_of(state: State, found: Sequence[Job]) -> list[shapes.Job]:
    """Each as a client sees it."""
    queue = places(state, found)
    moves = jobs.transitions(state.store, [job.id for job in found])
    return [_view(job, queue.get(job.id), moves[job.id]) for job in found]


def one(state: State, job: Job, response: Response) -> shapes.Job:
    """The job as a client sees it, with its ETag on the reply."""
    place = place_of(state, job)
    response.headers["ETag"] = etags.of(job, place)
    return at(state, job, place)


def new(state: State, job: Job, place: backlog.Place | None) -> tuple[shapes.Job, str]:
    """A job just written, and its ETag: nothing of it need be read again."""
    standing = None if place is None else _place(state, job, place)
    return _view(job, standing, [birth.event(job)]), etags.of(job, standing)


def at(state: State, job: Job, place: shapes.QueuePlace | None) -> shapes.Job:
    """The job as a client sees it, at a place that was looked up before."""
    return _view(job, place, jobs.transitions(state.store, [job.id])[job.id])


def place_of(state: State, job: Job) -> shapes.QueuePlace | None:
    """Where the job stands in the queue; None where it is not queued."""
    return places(state, [job]).get(job.id)


def places(state: State, found: Sequence[Job]) -> dict[str, shapes.QueuePlace]:
    """Where each of these jobs that is queued stands."""
    standing = backlog.places(state.store, found)
    return {job.id: _place(state, job, standing[job.id]) for job in found if job.id in standing}


def _place(state: State, job: Job, place: backlog.Place) -> shapes.QueuePlace:
    # One that needs a certain class of machine waits for that, not for the queue.
    wait = None if job.resumes_on else state.forecast.wait_seconds(state.store, place)
    return shapes.QueuePlace(position=place.position, jobs_ahead=place.jobs_ahead, estimated_wait_seconds=wait, waits_for=job.resumes_on)


def _view(job: Job, place: shapes.QueuePlace | None, moves: Sequence[rows.Event]) -> shapes.Job:
    # The history is read after the row: a move that came between belongs to the next version, under another ETag.
    return views.job(job, place, [move for move in moves if move.seq <= job.event_seq])

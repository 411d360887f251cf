"""How jobs that several clients ask for at the same time are read at once: what one look costs the database is most of what it costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from contract.errors import NotFoundError
from contract.job import Job
from contract.store import Store, jobs, rows
from contract.store.backlog import Place
from service import etags, shapes, views
from service.forecast import Forecast

MOST: Final = 64
"""Looks in one go: bodies are made one after another, and whoever is in the same go waits for all of them."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a client asks for, and what it has of it already."""

    tenant: str
    job_id: str
    if_none_match: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """A job as it is shown to one who may know it already."""

    job: Job
    etag: str
    body: str | None
    """As JSON; None where the client has it."""


@dataclass(frozen=True, slots=True)
class _Tagged:
    """A job as far as its row and place tell: enough for who knows it, without a body."""

    job: Job
    place: shapes.QueuePlace | None
    etag: str


def all_of(store: Store, forecast: Forecast, looks: Sequence[Look]) -> list[Seen | Exception]:
    """Each job as it stands, in order; NotFoundError for one that is not the tenant's, or was deleted."""
    tagged = {job.id: _tagged(store, forecast, job, standing) for job, standing in jobs.placed(store, {look.job_id for look in looks})}
    wanted = [look.job_id for look in looks if (one := tagged.get(look.job_id)) and not etags.holds(look.if_none_match, one.etag)]
    moves = jobs.transitions(store, wanted) if wanted else {}
    return [_seen(look, tagged.get(look.job_id), moves) for look in looks]


def place(store: Store, forecast: Forecast, job: Job, standing: Place) -> shapes.QueuePlace:
    """A place in the queue as it is told, with how long the job will wait there."""
    # One that needs a certain class of machine waits for that, not for the queue.
    wait = None if job.resumes_on else forecast.wait_seconds(store, standing)
    return shapes.QueuePlace(
        position=standing.position, jobs_ahead=standing.jobs_ahead, estimated_wait_seconds=wait, waits_for=job.resumes_on
    )


def view(job: Job, place: shapes.QueuePlace | None, moves: Sequence[rows.Event]) -> shapes.Job:
    """The job as a client sees it. `moves` are its status events."""
    # The history is read after the row: a move that came between belongs to the next version, under another ETag.
    return views.job(job, place, [move for move in moves if move.seq <= job.event_seq])


def _tagged(store: Store, forecast: Forecast, job: Job, standing: Place | None) -> _Tagged:
    told = None if standing is None else place(store, forecast, job, standing)
    return _Tagged(job, told, etags.of(job, told))


def _seen(look: Look, found: _Tagged | None, moves: dict[str, list[rows.Event]]) -> Seen | Exception:
    if found is None or found.job.tenant != look.tenant:
        return NotFoundError("job", look.job_id)
    if etags.holds(look.if_none_match, found.etag):
        return Seen(found.job, found.etag, None)
    try:
        body = view(found.job, found.place, moves[look.job_id]).model_dump_json(by_alias=True)
    except Exception as error:
        return error  # of this job alone: the others that are asked for are shown
    return Seen(found.job, found.etag, body)

"""What became of each of many jobs."""

from contract.job import JobState
from service.shapes.base import Page, View


class OutcomeProblem(View):
    """Why nothing became of it."""

    code: str
    """As in a Problem."""
    detail: str
    """What happened, and the remedy."""


class Outcome(View):
    """What a request for this job alone would have answered."""

    id: str
    """The job's."""
    status: int
    """The HTTP status."""
    job_status: JobState | None
    """Where the job stands now; null where there is a problem."""
    problem: OutcomeProblem | None
    """Why it could not be done; null where it could."""


class OutcomeList(Page[Outcome]):
    """In the order of the ids, or newest first; `has_more` asks for the same request again."""

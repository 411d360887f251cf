"""Whether a job's events tell one true story.

`event` their numbers have a gap · `move` one that is not allowed, or that does not begin where the last one ended · `replay` the
moves do not end at the job's state, or not after as many attempts · `epoch` one told twice, or out of order, within one attempt.
"""

from collections.abc import Iterator, Sequence

from contract.job import HELD, MOVES, JobState
from contract.lifecycle import CRASHES_WITHOUT_PROGRESS
from tests.up import Json

_SIGNS_OF_A_CRASH = ("the trainer was killed", "the trainer exited", "the trainer died", "was not heard of")


def faults(job_id: str, row: Json, events: Sequence[Json]) -> Iterator[str]:
    """What is wrong with the events of one job, oldest first, beside its row."""
    seqs = [event["seq"] for event in events]
    if seqs != list(range(1, len(seqs) + 1)) or row["event_seq"] != len(seqs):
        yield f"event: {job_id} counts {row['event_seq']} events and has {_gaps(seqs)}"
    yield from _moves(job_id, row, [event for event in events if event["type"] == "status"])
    yield from _epochs(job_id, events)


def is_crash_loop(events: Sequence[Json]) -> bool:
    """Whether the events show as many crashes in a row, without a checkpoint between them, as let a job fail."""
    crashes = 0
    for event in events:
        if event["type"] == "checkpoint":
            crashes = 0
        elif _is_crash(event):
            crashes += 1
    return crashes >= CRASHES_WITHOUT_PROGRESS


def _is_crash(event: Json) -> bool:
    left = event["type"] == "status" and event["data"]["from"] in HELD
    return left and any(sign in (event["data"]["reason"] or "") for sign in _SIGNS_OF_A_CRASH)


def _moves(job_id: str, row: Json, statuses: Sequence[Json]) -> Iterator[str]:
    state: JobState | None = None
    attempts = 0
    for event in statuses:
        came_from, to = event["data"]["from"], JobState(event["data"]["to"])
        if came_from != (state.value if state else None):
            yield f"move: event {event['seq']} of {job_id} begins at {came_from}, and the one before ended at {state}"
        elif to not in (MOVES[state] if state else {JobState.QUEUED}):
            yield f"move: event {event['seq']} of {job_id} goes from {came_from} to {to.value}, which is not allowed"
        attempts += to is JobState.RUNNING
        state = to
    if state != row["state"]:
        yield f"replay: the events of {job_id} end at {state}, and its row says {row['state']}"
    if attempts != row["attempt"]:
        yield f"replay: the events of {job_id} tell of {attempts} attempts, and its row of {row['attempt']}"


def _epochs(job_id: str, events: Sequence[Json]) -> Iterator[str]:
    told: int | None = None
    for event in events:
        if event["type"] == "status" and event["data"]["to"] == JobState.RUNNING:
            told = None  # a new attempt tells again what came after the checkpoint that it resumed from
        elif event["type"] == "epoch":
            epoch = event["data"]["epoch"]
            if told is not None and epoch != told + 1:
                yield f"epoch: event {event['seq']} of {job_id} tells of epoch {epoch} after epoch {told}, within one attempt"
            told = epoch


def _gaps(seqs: Sequence[int]) -> str:
    missing = sorted(set(range(1, max(seqs, default=0) + 1)) - set(seqs))
    return f"{len(seqs)} of them, without the numbers {missing[:10]}"

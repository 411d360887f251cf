"""Which of the promises about a job its rows break: its history, its result, its checkpoints. Empty when they keep them all."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from sqlalchemy import RowMapping, select

from contract.job import MOVES, TERMINAL, Job, JobState
from contract.store import Store, rows
from contract.store.tables import checkpoints, job_events, jobs, results


def violations(store: Store) -> list[str]:
    """One sentence for each promise that a job of this database breaks, with the job's id before it."""
    with store.read() as connection:
        every = [rows.from_row(row) for row in connection.execute(select(jobs).order_by(jobs.c.id)).mappings()]
        events = _by_job(connection.execute(select(job_events).order_by(job_events.c.job_id, job_events.c.seq)).mappings().all())
        saved = _by_job(connection.execute(select(checkpoints).order_by(checkpoints.c.job_id, checkpoints.c.seq)).mappings().all())
        fences = {row.job_id: row.fence for row in connection.execute(select(results.c.job_id, results.c.fence))}
    return [
        f"{job.id}: {found}"
        for job in every
        for found in (
            *_of_events(job, events.get(job.id, [])),
            *_of_epochs(events.get(job.id, [])),
            *_of_result(job, fences.get(job.id)),
            *_of_checkpoints(job, saved.get(job.id, []), events.get(job.id, [])),
        )
    ]


def unfinished(store: Store) -> list[str]:
    """One sentence for each job that has not reached its end."""
    with store.read() as connection:
        left = connection.execute(select(jobs.c.id, jobs.c.state, jobs.c.status_reason).where(jobs.c.finished_at.is_(None))).all()
    return [f"{row.id}: is still {row.state} ({row.status_reason})" for row in left]


def _by_job(found: Sequence[RowMapping]) -> dict[str, list[RowMapping]]:
    grouped: dict[str, list[RowMapping]] = {}
    for row in found:
        grouped.setdefault(row["job_id"], []).append(row)
    return grouped


def _of_events(job: Job, events: list[RowMapping]) -> Iterator[str]:
    seqs = [event["seq"] for event in events]
    if seqs != list(range(1, job.event_seq + 1)):
        yield f"its events bear {seqs} and should count to {job.event_seq}"
    moves = [event["data"] for event in events if event["type"] == "status"]
    states = [JobState(move["to"]) for move in moves]
    if states[:1] != [JobState.QUEUED] or states[-1] is not job.state:
        yield f"its history goes from {states[0]} to {states[-1]} and it is {job.state}"
    for (before, after), move in zip(pairwise(states), moves[1:], strict=True):
        if JobState(move["from"]) is not before or after not in MOVES[before]:
            yield f"its history goes from {before} to {after} as from {move['from']}"
    if (ends := sum(state in TERMINAL for state in states)) > 1:
        yield f"it ended {ends} times"


def _of_epochs(events: list[RowMapping]) -> Iterator[str]:
    """Within an attempt, each epoch is told once and in order."""
    told: list[int] = []
    for event in events:
        if event["type"] == "status" and event["data"]["to"] == JobState.RUNNING:
            told = []
        if event["type"] == "epoch":
            told.append(event["data"]["epoch"])
            if told != sorted(set(told)):
                yield f"an attempt tells of epochs {told}"


def _of_result(job: Job, fence: int | None) -> Iterator[str]:
    if (job.state is JobState.SUCCEEDED) is not (fence is not None):
        yield f"it is {job.state} and has {'a' if fence is not None else 'no'} result"
    if fence is not None and fence != job.fence:
        yield f"its result was written under fence {fence} and its row under {job.fence}"


def _of_checkpoints(job: Job, saved: list[RowMapping], events: list[RowMapping]) -> Iterator[str]:
    if [row["seq"] for row in saved] != list(range(1, job.checkpoint_seq + 1)):
        yield f"its checkpoints bear {[row['seq'] for row in saved]} and should count to {job.checkpoint_seq}"
    fences = [row["fence"] for row in saved]
    if fences != sorted(fences) or any(fence > job.fence for fence in fences):
        yield f"its checkpoints were written under the fences {fences} and it is at {job.fence}"
    if len({row["prefix"] for row in saved}) != len(saved):
        yield f"two of its checkpoints lie under one prefix: {[row['prefix'] for row in saved]}"
    told = [event["data"]["checkpoint_id"] for event in events if event["type"] == "checkpoint"]
    if told != [row["id"] for row in saved]:
        yield f"{len(saved)} checkpoints are stored and {len(told)} told"
    if saved and job.checkpoint_id != saved[-1]["id"]:
        yield f"it rests on {job.checkpoint_id} and its newest checkpoint is {saved[-1]['id']}"

"""Which of the promises about a job its rows break: its history, its result, its checkpoints. Empty when they keep them all."""

from collections.abc import Iterator, Sequence

from sqlalchemy import RowMapping, select

from contract.job import Job, JobState
from contract.store import Store, rows
from contract.store.tables import checkpoints, job_events, jobs, results
from tests.faults import history


def violations(store: Store) -> list[str]:
    """One sentence for each promise that a job of this database breaks, with the job's id before it."""
    with store.read() as connection:
        every = [rows.from_row(row) for row in connection.execute(select(jobs).order_by(jobs.c.id)).mappings()]
        events = _by_job(connection.execute(select(job_events).order_by(job_events.c.job_id, job_events.c.seq)).mappings().all())
        saved = _by_job(connection.execute(select(checkpoints).order_by(checkpoints.c.job_id, checkpoints.c.seq)).mappings().all())
        fences = {row.job_id: row.fence for row in connection.execute(select(results.c.job_id, results.c.fence))}
    told = [fault for job in every for fault in history.faults(job.id, rows.to_row(job), [*map(dict, events.get(job.id, []))])]
    return told + [
        f"{job.id}: {found}"
        for job in every
        for found in (
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

"""The database refuses by itself, on both kinds, what no version of ours may write: each guard is tried by hand-written SQL."""

from contextlib import suppress
from itertools import product

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from contract.job import HELD, MOVES, TERMINAL, JobState
from contract.spec import JobSpec
from contract.store import Store, jobs

SPEC = JobSpec.model_validate({"dataset": {"kind": "fake"}})
_COLUMNS = "owner = {owner}, lease_until = {lease}, finished_at = {end}, error = {error}, paused_at = {rest}"


def put(store: Store, job_id: str, state: JobState, *, version: int = 100) -> None:
    """Write the state by hand, with all that the constraints ask of a row in it; a claim raises the fence."""
    columns = _COLUMNS.format(
        owner="'w'" if state in HELD else "NULL",
        lease="9e9" if state in HELD else "NULL",
        end="1.0" if state in TERMINAL else "NULL",
        error="'{}'" if state is JobState.FAILED else "NULL",
        rest="1.0" if state is JobState.PAUSED else "NULL",
    )
    fence = "fence + 1" if state is JobState.RUNNING else "fence"
    if state is JobState.SUCCEEDED:
        with suppress(IntegrityError):  # where no owner may leave a result, the move to succeeded is refused below
            execute(
                store,
                f"INSERT INTO results (job_id, fence, created_at, body) SELECT id, fence, 0.0, '{{}}' FROM jobs WHERE id = '{job_id}'",
            )
    execute(store, f"UPDATE jobs SET state = '{state.value}', {columns}, fence = {fence}, version = {version} WHERE id = '{job_id}'")


def execute(store: Store, statement: str) -> None:
    with store.write() as connection:
        connection.execute(text(statement))


def refuse(store: Store, statement: str, guard: str) -> None:
    with pytest.raises(IntegrityError, match=guard):
        execute(store, statement)


def path_to(state: JobState) -> list[JobState]:
    """A shortest legal way from `queued`."""
    ways = {JobState.QUEUED: [JobState.QUEUED]}
    while state not in ways:
        ways |= {after: [*way, after] for before, way in list(ways.items()) for after in MOVES[before] if after not in ways}
    return ways[state]


def job_in(store: Store, state: JobState) -> str:
    job_id = jobs.submit(store, "t", SPEC).job.id
    for version, step in enumerate(path_to(state)[1:], start=10):
        put(store, job_id, step, version=version)
    return job_id


@pytest.mark.parametrize("before", JobState)
def test_only_the_moves_of_the_state_machine_can_be_written(store: Store, before: JobState) -> None:
    for after in set(JobState) - {before}:
        job_id = job_in(store, before)
        if after in MOVES[before]:
            put(store, job_id, after)
        else:
            with pytest.raises(IntegrityError, match=r"jobs_move_allowed|jobs_ended_stays|jobs_success_has_result"):
                put(store, job_id, after)


@pytest.mark.parametrize(
    ("state", "change"), list(product(sorted(TERMINAL), ["fence = fence + 1", "finished_at = 2.0", "checkpoint_id = 'x'"]))
)
def test_a_job_that_has_ended_stays_as_it_ended(store: Store, state: JobState, change: str) -> None:
    job_id = job_in(store, state)
    refuse(store, f"UPDATE jobs SET {change}, version = version + 1 WHERE id = '{job_id}'", "jobs_ended_stays")


@pytest.mark.parametrize("counter", ["fence", "version", "checkpoint_seq", "event_seq", "attempt", "crash_count", "release_count"])
def test_no_counter_ever_falls(store: Store, counter: str) -> None:
    job_id = job_in(store, JobState.RUNNING)
    refuse(store, f"UPDATE jobs SET {counter} = -1 WHERE id = '{job_id}'", "jobs_counters_rise")


def test_a_move_without_a_new_version_is_refused(store: Store) -> None:
    job_id = job_in(store, JobState.RUNNING)
    change = "state = 'pausing'"
    refuse(store, f"UPDATE jobs SET {change} WHERE id = '{job_id}'", "jobs_move_raises_version")
    execute(store, f"UPDATE jobs SET {change}, version = version + 1 WHERE id = '{job_id}'")


def test_a_claim_under_the_old_fence_is_refused(store: Store) -> None:
    job_id = job_in(store, JobState.QUEUED)
    claim = "state = 'running', owner = 'w', lease_until = 9e9, version = version + 1"
    refuse(store, f"UPDATE jobs SET {claim} WHERE id = '{job_id}'", "jobs_claim_raises_fence")


def test_a_paused_job_says_since_when_and_no_other_does(store: Store) -> None:
    queued = job_in(store, JobState.QUEUED)
    refuse(store, f"UPDATE jobs SET state = 'paused', version = version + 1 WHERE id = '{queued}'", "jobs_paused_since")
    refuse(store, f"UPDATE jobs SET paused_at = 1.0 WHERE id = '{queued}'", "jobs_paused_since")


def test_no_job_has_succeeded_without_its_result(store: Store) -> None:
    job_id = job_in(store, JobState.RUNNING)
    done = "state = 'succeeded', owner = NULL, lease_until = NULL, finished_at = 1.0, version = version + 1"
    refuse(store, f"UPDATE jobs SET {done} WHERE id = '{job_id}'", "jobs_success_has_result")
    execute(store, f"INSERT INTO results (job_id, fence, created_at, body) VALUES ('{job_id}', 1, 0.0, '{{}}')")
    execute(store, f"UPDATE jobs SET {done} WHERE id = '{job_id}'")


def test_a_job_begins_in_the_queue(store: Store) -> None:
    job_id = job_in(store, JobState.QUEUED)
    with store.read() as connection:
        names = ", ".join(
            column for column in connection.execute(text("SELECT * FROM jobs LIMIT 1")).mappings().one() if column not in {"id", "state"}
        )
    copy = f"INSERT INTO jobs (id, state, {names}) SELECT 'job_other', 'paused', {names} FROM jobs WHERE id = '{job_id}'"
    refuse(store, copy, "jobs_begin_queued")


def test_history_and_results_are_only_added_to(store: Store) -> None:
    job_id = job_in(store, JobState.RUNNING)
    refuse(store, f"UPDATE job_events SET message = 'x' WHERE job_id = '{job_id}'", "job_events_only_added")
    execute(store, f"INSERT INTO results (job_id, fence, created_at, body) VALUES ('{job_id}', 1, 0.0, '{{}}')")
    refuse(store, f"UPDATE results SET fence = 1 WHERE job_id = '{job_id}'", "results_only_added")


@pytest.mark.parametrize(
    ("state", "fence"), [*product(sorted(set(JobState) - {JobState.RUNNING, JobState.PAUSING}), [0, 1]), ("running", 0)]
)
def test_a_result_is_taken_from_the_present_owner_alone(store: Store, state: str, fence: int) -> None:
    job_id = job_in(store, JobState(state))
    refuse(store, f"INSERT INTO results (job_id, fence, created_at, body) VALUES ('{job_id}', {fence}, 0.0, '{{}}')", "results_under_fence")


@pytest.mark.parametrize(("state", "fence", "seq"), [("running", 0, 1), ("running", 1, 0), ("queued", 0, 1), ("cancelled", 1, 1)])
def test_a_checkpoint_is_taken_from_the_present_owner_alone(store: Store, state: str, fence: int, seq: int) -> None:
    job_id = job_in(store, JobState(state))
    columns = "id, job_id, fence, seq, epoch, step, metrics, prefix, files, size_bytes, created_at"
    row = f"'c', '{job_id}', {fence}, {seq}, 1, 1, '{{}}', 'p', '[]', 0, 0.0"
    refuse(store, f"INSERT INTO checkpoints ({columns}) VALUES ({row})", "checkpoints_under_fence")

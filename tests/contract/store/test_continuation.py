"""What a job keeps, and what it hands on, when it is paused, retried or extended, on both databases."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from contract import ids
from contract.continuation import Begin, Resume
from contract.errors import IdempotencyMismatchError, InvalidSpecError, NotFoundError, StateConflictError
from contract.events import FailureCode, File
from contract.job import Job, JobState
from contract.lifecycle import Failure, Report
from contract.spec import JobSpec
from contract.store import Store, checkpoints, jobs, leases, listing, rows, tables
from contract.store.leases import Lease

TENANT = "default"
SPEC = JobSpec.model_validate({"epochs": 3, "dataset": {"kind": "fake"}, "limits": {"max_runtime_seconds": 50, "max_queue_seconds": 70}})
MACHINE = {"device": "cpu", "precision": "float32", "threads": 1, "cpu_capability": "AVX2", "torch": "2.15.0"}
CLASS = "torch 2.15.0, cpu, AVX2"
FAILURE = Failure(FailureCode.DEADLINE_EXCEEDED, "limits.max_runtime_seconds of 50 s has passed", "raise the limit")
FILE = File(name="model.safetensors", size_bytes=5, sha256="0" * 64)


def running(store: Store, **spec: Any) -> Lease:
    jobs.submit(store, TENANT, JobSpec.model_validate(SPEC.model_dump(mode="json") | spec))
    return claimed(store)


def claimed(store: Store, job_id: str | None = None) -> Lease:
    job = leases.claim(store, "worker-1", "cpu", 60, job_id)
    assert job is not None
    leases.renew(store, Lease(job.id, job.fence), 60, Report(machine=MACHINE))
    return Lease(job.id, job.fence)


def checkpoint(store: Store, lease: Lease, epoch: int = 1) -> str:
    draft = checkpoints.Draft(epoch, epoch * 10, {"val.loss": 0.5}, False, f"{lease.job_id}/{lease.fence}/{epoch}", [FILE])
    found = checkpoints.record(store, lease, draft).checkpoint_id
    assert found is not None
    return found


def failed(store: Store, *, with_checkpoint: bool = True, **spec: Any) -> Job:
    lease = running(store, **spec)
    if with_checkpoint:
        checkpoint(store, lease)
    return leases.fail(store, lease, FAILURE)


def succeeded(store: Store, stop_reason: str = "epochs", **spec: Any) -> Job:
    lease = running(store, **spec)
    checkpoint(store, lease, 3)
    return leases.succeed(store, lease, {"stop_reason": stop_reason})


def count(store: Store) -> int:
    return len(listing.page(store, TENANT, 100))


def test_a_pause_and_a_resume_put_the_limits_off_by_the_rest(store: Store) -> None:
    job = jobs.submit(store, TENANT, SPEC).job
    paused, moved = jobs.pause(store, TENANT, job.id)
    assert (paused.state, moved) == (JobState.PAUSED, True)
    assert jobs.pause(store, TENANT, job.id) == (paused, False)
    resumed, moved = jobs.resume(store, TENANT, job.id)
    assert (resumed.state, resumed.paused_at, moved) == (JobState.QUEUED, None, True)
    rested = resumed.updated_at - paused.updated_at
    assert resumed.queue_deadline_at - job.queue_deadline_at == pytest.approx(rested, abs=1e-5)
    assert jobs.resume(store, TENANT, job.id) == (resumed, False)


@pytest.mark.parametrize(
    "deed", [jobs.pause, jobs.resume, jobs.retry, lambda *where: jobs.extend(*where, 1)], ids=["pause", "resume", "retry", "extend"]
)
def test_a_foreign_tenants_job_is_not_found(store: Store, deed: Any) -> None:
    job = jobs.submit(store, TENANT, SPEC).job
    with pytest.raises(NotFoundError):
        deed(store, "another", job.id)


def test_a_retry_has_limits_and_counts_of_its_own_and_leaves_its_parent_as_it_ended(store: Store) -> None:
    parent = failed(store)
    retry = jobs.retry(store, TENANT, parent.id).job
    assert jobs.get(store, TENANT, parent.id) == parent
    assert (retry.state, retry.attempt, retry.fence, retry.deadline_at, retry.error) == (JobState.QUEUED, 0, 0, None, None)
    assert retry.queue_deadline_at == retry.created_at + 70
    assert (retry.spec, retry.spec_sha256, retry.idempotency_key) == (parent.spec, parent.spec_sha256, None)
    assert (retry.parent_job_id, retry.parent_relation, retry.start_checkpoint_id) == (parent.id, "retry", parent.checkpoint_id)


@pytest.mark.parametrize(
    ("policy", "begin", "resume", "waits_for"),
    [
        ("bitwise", "last", None, CLASS),
        ("bitwise", "start", None, None),
        ("bitwise", "last", "anywhere", None),
        ("anywhere", "last", None, None),
        ("anywhere", "last", "bitwise", CLASS),
    ],
)
def test_a_retry_waits_for_the_class_of_machine_only_where_it_must_go_on_to_the_bit(
    sqlite_store: Store, policy: str, begin: Begin, resume: Resume | None, waits_for: str | None
) -> None:
    parent = failed(sqlite_store, checkpoints={**SPEC.checkpoints.model_dump(), "resume": policy})
    retry = jobs.retry(sqlite_store, TENANT, parent.id, begin, resume).job
    assert retry.resumes_on == waits_for
    assert retry.spec["checkpoints"]["resume"] == (resume or policy)


def test_a_job_without_a_checkpoint_hands_on_the_one_that_it_began_from(store: Store) -> None:
    first = failed(store)
    second = jobs.retry(store, TENANT, first.id).job
    leases.fail(store, claimed(store, second.id), FAILURE)
    third = jobs.retry(store, TENANT, second.id).job
    assert (third.parent_job_id, third.start_checkpoint_id, third.resumes_on) == (second.id, first.checkpoint_id, CLASS)
    (kept,) = checkpoints.to_resume(store, third)
    assert (kept.id, kept.job_id) == (first.checkpoint_id, first.id)


def test_a_job_that_continues_another_can_fall_back_on_an_earlier_checkpoint_of_it(store: Store) -> None:
    lease = running(store)
    earlier, last = checkpoint(store, lease, 1), checkpoint(store, lease, 2)
    parent = leases.fail(store, lease, FAILURE)
    retry = jobs.retry(store, TENANT, parent.id).job
    assert [kept.id for kept in checkpoints.to_resume(store, retry)] == [last, earlier]


def test_what_the_job_it_continues_did_not_keep_is_nothing_to_go_on_from(store: Store) -> None:
    lease = running(store)
    first, unkept, third, last = [checkpoint(store, lease, epoch) for epoch in (1, 2, 3, 4)]
    retry = jobs.retry(store, TENANT, leases.fail(store, lease, FAILURE).id).job
    assert [name for name, _ in checkpoints.to_purge(store)] == [unkept]
    assert [kept.id for kept in checkpoints.to_resume(store, retry)] == [last, third, first]


def test_the_best_of_a_job_stays_that_of_the_one_it_continues_until_it_is_beaten(store: Store) -> None:
    parent = succeeded(store)
    child = jobs.extend(store, TENANT, parent.id, 2).job
    assert (child.best, child.best_checkpoint_id) == (parent.best, parent.best_checkpoint_id)
    assert checkpoints.get(store, child, "best").job_id == parent.id
    lease = claimed(store, child.id)
    checkpoint(store, lease, 4)  # as good as the parent's, and later
    child = jobs.get(store, TENANT, child.id)
    assert checkpoints.get(store, child, "best").job_id == parent.id
    better = checkpoints.Draft(5, 50, {"val.loss": 0.1}, False, f"{child.id}/{lease.fence}/5", [FILE])
    child = checkpoints.record(store, lease, better)
    assert (checkpoints.get(store, child, "best").job_id, checkpoints.get(store, child, "best").epoch) == (child.id, 5)


def test_a_retry_from_the_start_has_no_best_yet(store: Store) -> None:
    job = jobs.retry(store, TENANT, failed(store).id, "start").job
    assert (job.best, job.best_checkpoint_id) == (None, None)


def test_a_job_that_never_wrote_a_checkpoint_is_retried_from_its_start(store: Store) -> None:
    retry = jobs.retry(store, TENANT, failed(store, with_checkpoint=False).id).job
    assert (retry.start_checkpoint_id, retry.resumes_on) == (None, None)
    assert checkpoints.to_resume(store, retry) == []


def test_eight_retries_at_once_are_one_job(store: Store) -> None:
    parent = failed(store)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: jobs.retry(store, TENANT, parent.id), range(8)))
    assert len({one.job.id for one in made}) == 1
    assert sum(not one.replayed for one in made) == 1
    assert count(store) == 2


def test_a_second_standing_retry_is_refused_by_the_database_itself(store: Store) -> None:
    retry = jobs.retry(store, TENANT, failed(store).id).job
    with pytest.raises(IntegrityError), store.write() as connection:
        connection.execute(insert(tables.jobs).values(rows.to_row(retry) | {"id": ids.job()}))


def test_a_retry_that_stands_is_not_given_for_one_with_another_resume(store: Store) -> None:
    parent = failed(store)
    first = jobs.retry(store, TENANT, parent.id, "last", "anywhere").job
    for resume in (None, "bitwise"):
        with pytest.raises(StateConflictError, match=f"as {first.id} already.*with resume 'anywhere'; cancel that one first"):
            jobs.retry(store, TENANT, parent.id, "last", resume)
    assert jobs.retry(store, TENANT, parent.id, "last", "anywhere").job == first
    assert count(store) == 2


@pytest.mark.parametrize("end", ["failed", "cancelled", "succeeded"])
def test_a_retry_stands_unless_it_fails_or_is_cancelled_itself(store: Store, end: str) -> None:
    parent = failed(store)
    first = jobs.retry(store, TENANT, parent.id).job
    match end:
        case "failed":
            leases.fail(store, claimed(store, first.id), FAILURE)
        case "cancelled":
            jobs.cancel(store, TENANT, first.id)
        case "succeeded":
            leases.succeed(store, claimed(store, first.id), {"stop_reason": "epochs"})
    again = jobs.retry(store, TENANT, parent.id)
    assert again.replayed == (again.job.id == first.id) == (end == "succeeded")


def test_an_extension_asks_for_more_epochs_and_nothing_else(store: Store) -> None:
    parent = succeeded(store)
    longer = jobs.extend(store, TENANT, parent.id, 4).job
    assert longer.spec == {**parent.spec, "epochs": 7}
    assert longer.spec_sha256 != parent.spec_sha256
    assert (longer.epochs, longer.parent_relation, longer.start_checkpoint_id) == (7, "extension", parent.checkpoint_id)
    assert (longer.resumes_on, longer.deadline_at) == (CLASS, None)
    assert jobs.get(store, TENANT, parent.id) == parent


@pytest.mark.parametrize(
    ("stop_reason", "spec", "told"),
    [
        ("epochs", {"polish": {"epochs": 1}, "penalties": [{"kind": "l1", "lambda": 1e-4}]}, "was polished"),
        ("early_stopping", {"early_stopping": {}}, "early_stopping"),
        ("tolerance", {"tolerance": {"gradient_mapping": 0.1}}, "tolerance"),
    ],
)
def test_a_job_that_more_epochs_mean_nothing_to_is_not_extended(
    sqlite_store: Store, stop_reason: str, spec: dict[str, Any], told: str
) -> None:
    parent = succeeded(sqlite_store, stop_reason, **spec)
    with pytest.raises(StateConflictError, match=rf"{told}.*submit its spec"):
        jobs.extend(sqlite_store, TENANT, parent.id, 1)
    assert count(sqlite_store) == 1


def test_a_job_with_early_stopping_that_ran_through_can_be_extended(sqlite_store: Store) -> None:
    parent = succeeded(sqlite_store, early_stopping={"patience": 50})
    assert jobs.extend(sqlite_store, TENANT, parent.id, 1).job.epochs == 4


def test_an_extension_beyond_what_a_spec_may_ask_for_is_refused_with_the_sum(sqlite_store: Store) -> None:
    parent = succeeded(sqlite_store)
    with pytest.raises(InvalidSpecError, match=r"/epochs: .*10000, got 10001"):
        jobs.extend(sqlite_store, TENANT, parent.id, 9_998)
    assert jobs.extend(sqlite_store, TENANT, parent.id, 9_997).job.epochs == 10_000


def test_one_key_makes_one_extension_however_often_it_is_sent_at_once(store: Store) -> None:
    parent = succeeded(store)
    with ThreadPoolExecutor(8) as pool:
        sent = list(pool.map(lambda _: jobs.extend(store, TENANT, parent.id, 2, "k"), range(8)))
    assert len({one.job.id for one in sent}) == 1
    assert sum(not one.replayed for one in sent) == 1


def test_a_key_belongs_to_one_request_whichever_creates(store: Store) -> None:
    parent, other = succeeded(store), succeeded(store)
    jobs.extend(store, TENANT, parent.id, 2, "k")
    for again in (
        lambda: jobs.extend(store, TENANT, parent.id, 3, "k"),
        lambda: jobs.extend(store, TENANT, other.id, 2, "k"),
        lambda: jobs.submit(store, TENANT, SPEC, "k"),
    ):
        with pytest.raises(IdempotencyMismatchError, match="another request"):
            again()


def test_who_extends_hears_with_how_many_epochs_its_checkpoint_was_begun_until_it_has_one_of_its_own(store: Store) -> None:
    longer = jobs.extend(store, TENANT, succeeded(store).id, 2).job
    lease = claimed(store, longer.id)
    assert checkpoints.begun_with_epochs(store, longer, checkpoints.to_resume(store, longer)) == 3
    checkpoint(store, lease, 4)
    assert checkpoints.begun_with_epochs(store, longer, checkpoints.to_resume(store, longer)) is None


def test_the_retry_of_an_extension_that_never_wrote_a_checkpoint_hears_it_too(store: Store) -> None:
    longer = jobs.extend(store, TENANT, succeeded(store).id, 2).job
    leases.fail(store, claimed(store, longer.id), FAILURE)
    retry = jobs.retry(store, TENANT, longer.id).job
    assert checkpoints.begun_with_epochs(store, retry, checkpoints.to_resume(store, retry)) == 3


def test_who_retries_begins_with_as_many_epochs(store: Store) -> None:
    retry = jobs.retry(store, TENANT, failed(store).id).job
    assert checkpoints.begun_with_epochs(store, retry, checkpoints.to_resume(store, retry)) is None

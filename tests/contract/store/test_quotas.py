"""The promises of the store about how much a tenant may have, on both databases."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from sqlalchemy import text

from contract.errors import QuotaExceededError, QuotaSpentError
from contract.events import File
from contract.job import Job
from contract.spec import JobSpec
from contract.store import Store, checkpoints, datasets, jobs, leases, quotas
from contract.store.leases import Lease
from contract.store.quotas import EVERYBODY, Limits

SPEC = JobSpec.model_validate({"epochs": 3, "dataset": {"kind": "fake"}})
FILE = File(name="model.safetensors", size_bytes=500, sha256="0" * 64)


def submit(store: Store, tenant: str = "a", key: str | None = None) -> Job:
    return jobs.submit(store, tenant, SPEC, key).job


def claim(store: Store, owner: str = "worker-1") -> Job | None:
    return leases.claim(store, owner, "cpu", 60)


def started(store: Store, tenant: str = "a") -> Lease:
    submit(store, tenant)
    job = claim(store)
    assert job is not None
    return Lease(job.id, job.fence)


def test_a_tenant_at_its_limit_leaves_the_workers_to_others(store: Store) -> None:
    quotas.put(store, "a", Limits(running_jobs=1))
    first, second, other = submit(store), submit(store), submit(store, "b")
    taken = [job and job.id for job in (claim(store), claim(store), claim(store))]
    assert taken == [first.id, other.id, None]
    assert leases.claim(store, "worker-1", "cpu", 60, second.id) is None
    leases.release(store, Lease(first.id, 1), "its worker was stopped")
    again = claim(store)
    assert again is not None
    assert again.tenant == "a"


def test_the_limit_of_everybody_holds_for_each_tenant_without_one_of_its_own(store: Store) -> None:
    quotas.settle(store, Limits(running_jobs=1))
    quotas.put(store, "b", Limits(running_jobs=None))
    for tenant in "aabbc":
        submit(store, tenant)
    taken = [claim(store) for _ in range(5)]
    assert sorted(job.tenant for job in taken if job) == ["a", "b", "b", "c"]


def test_of_many_claims_at_once_no_more_than_the_limit_succeed(store: Store) -> None:
    quotas.put(store, "a", Limits(running_jobs=2))
    for _ in range(6):
        submit(store)
    with ThreadPoolExecutor(6) as pool:
        taken = list(pool.map(lambda index: claim(store, f"worker-{index}"), range(6)))
    assert len([job for job in taken if job]) == 2


def test_a_submission_beyond_the_queue_is_refused_and_leaves_no_trace(store: Store) -> None:
    quotas.put(store, "a", Limits(queued_jobs=1))
    job = submit(store, key="k")
    with pytest.raises(QuotaExceededError) as refused:
        submit(store)
    assert not isinstance(refused.value, QuotaSpentError), "a place becomes free"
    assert quotas.used(store, "a").queued_jobs == 1
    assert submit(store, key="k").id == job.id, "what is repeated under its key is not another job"
    submit(store, "b")
    assert claim(store)
    submit(store)


def test_the_time_that_workers_held_a_job_is_counted(store: Store) -> None:
    lease = started(store)
    assert quotas.used(store, "a").running_jobs == 1
    with store.write() as connection:
        connection.execute(text("UPDATE device_use SET since = since - 100"))
    assert 100 <= quotas.used(store, "a").device_seconds < 200
    leases.release(store, lease, "its worker was stopped")
    first = quotas.used(store, "a").device_seconds
    assert quotas.used(store, "a").device_seconds == first
    with store.write() as connection:
        connection.execute(text("UPDATE jobs SET available_at = 0"))
    assert claim(store)
    with store.write() as connection:
        connection.execute(text("UPDATE device_use SET since = since - 50"))
    assert 150 <= quotas.used(store, "a").device_seconds < 250
    assert quotas.used(store, "b").device_seconds == 0


def test_a_tenant_that_has_used_its_device_seconds_is_refused_but_its_jobs_go_on(store: Store) -> None:
    quotas.put(store, "a", Limits(device_seconds=50))
    lease = started(store)
    waiting = submit(store)
    with store.write() as connection:
        connection.execute(text("UPDATE device_use SET since = since - 50"))
    with pytest.raises(QuotaSpentError, match="50 device seconds"):
        submit(store)
    leases.release(store, lease, "its worker was stopped")
    taken = claim(store)
    assert taken is not None
    assert taken.id in {lease.job_id, waiting.id}


def test_a_tenant_whose_bytes_are_full_is_refused(store: Store) -> None:
    checkpoints.record(store, started(store), checkpoints.Draft(1, 10, {"val.loss": 0.5}, False, "job/1", [FILE]))
    assert quotas.used(store, "a").stored_bytes == 500
    assert quotas.used(store, "b").stored_bytes == 0
    quotas.put(store, "a", Limits(stored_bytes=500))
    with pytest.raises(QuotaSpentError, match="500 bytes stored"):
        submit(store)
    with store.read() as connection:
        quotas.assert_room_for_bytes(connection, "a", 0, 0.0)
        with pytest.raises(QuotaSpentError):
            quotas.assert_room_for_bytes(connection, "a", 1, 0.0)


def test_the_limits_of_everybody_follow_the_settings(store: Store) -> None:
    for limits in (Limits(queued_jobs=5), Limits(queued_jobs=7, stored_bytes=10), Limits()):
        quotas.settle(store, limits)
        assert quotas.limits(store, "a") == quotas.limits(store, EVERYBODY) == limits
    quotas.put(store, "a", Limits(queued_jobs=1))
    quotas.remove(store, "a")
    assert quotas.limits(store, "a") == Limits()


def test_of_many_submissions_at_once_the_queue_takes_no_more_than_the_limit(store: Store) -> None:
    quotas.put(store, "a", Limits(queued_jobs=2))

    def ask(_: int) -> None:
        with suppress(QuotaExceededError):
            submit(store)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(16)))
    assert quotas.used(store, "a").queued_jobs == 2


@pytest.mark.parametrize(("of_tenant", "of_settings"), [(None, 1000), (1000, 10**9)], ids=["settings", "operator"])
def test_of_many_uploads_at_once_no_more_is_kept_than_the_limit(store: Store, of_tenant: int | None, of_settings: int) -> None:
    quotas.put(store, "a", Limits(stored_bytes=of_tenant))

    def upload(number: int) -> None:
        with suppress(QuotaSpentError):
            datasets.begin(store, "a", datasets.Draft("x", "npz", f"{number:064}", {}, [FILE]), of_settings)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(upload, range(16)))
    assert quotas.used(store, "a").stored_bytes == 2 * FILE.size_bytes


def test_processes_that_start_at_once_all_settle_the_limits_of_the_settings(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: quotas.put(store, EVERYBODY, Limits(queued_jobs=7)), range(16)))
    assert quotas.limits(store, "a") == Limits(queued_jobs=7)

"""A deleted job is hidden, then purged; and never before another job is done with its checkpoints. On both databases."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import IntegrityError

from contract.errors import GoneError, InvalidSpecError, NotFoundError, StateConflictError
from contract.job import Job
from contract.spec import JobSpec
from contract.store import Store, checkpoints, jobs, leases, listing, removal, tables, webhooks
from contract.store.leases import Lease
from contract.webhooks import EventType
from tests.contract.store.test_continuation import FAILURE, SPEC, TENANT, checkpoint, claimed, failed, running, succeeded


def count(store: Store, table: Any) -> int:
    with store.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def told_of(store: Store) -> dict[str, int]:
    """How many messages there are of each job."""
    query = select(tables.deliveries.c.job_id, func.count()).group_by(tables.deliveries.c.job_id)
    with store.read() as connection:
        return dict(connection.execute(query).all())


def purge(store: Store) -> list[str]:
    found = removal.to_purge(store, 0.0)
    assert all(removal.purge(store, job_id) for job_id in found)
    return found


def test_a_deleted_job_is_gone_for_every_client_and_later_with_everything_that_hangs_on_it(store: Store) -> None:
    job = succeeded(store)
    removal.hide(store, TENANT, job.id)
    removal.hide(store, TENANT, job.id)
    for deed in (jobs.get, jobs.version, jobs.cancel, jobs.pause, jobs.resume, jobs.retry):
        with pytest.raises(NotFoundError):
            deed(store, TENANT, job.id)
    assert listing.page(store, TENANT, 10) == []
    assert removal.to_purge(store, 3600.0) == []
    assert purge(store) == [job.id]
    for table in (tables.jobs, tables.job_events, tables.checkpoints, tables.results, tables.metrics):
        assert count(store, table) == 0
    with pytest.raises(NotFoundError):
        removal.hide(store, TENANT, job.id)


def test_what_webhooks_were_told_of_a_job_goes_with_it_and_of_no_other(store: Store) -> None:
    asked = {"url": "https://example.com", "events": [*EventType], "enabled": True, "description": ""}
    webhooks.add(store, TENANT, "wh_1", "s", **asked)
    lease = running(store)
    deleted, kept = succeeded(store), lease.job_id
    removal.hide(store, TENANT, deleted.id)
    with store.write() as connection:  # as if both had been told of at one time
        connection.execute(update(tables.deliveries).values(created_at=deleted.created_at))
    assert told_of(store) == {deleted.id: 3, kept: 2}
    assert purge(store) == [deleted.id]
    assert told_of(store) == {kept: 2}


def test_neither_a_foreign_job_nor_one_on_its_way_can_be_deleted(store: Store) -> None:
    lease = running(store)
    with pytest.raises(NotFoundError):
        removal.hide(store, "another", lease.job_id)
    with pytest.raises(StateConflictError, match="cancel it"):
        removal.hide(store, TENANT, lease.job_id)


def retried(store: Store, parent: Job) -> Job:
    return jobs.retry(store, TENANT, parent.id).job


def started_from(store: Store, parent: Job) -> Job:
    return jobs.submit(store, TENANT, SPEC.model_copy(update={"init_from": parent.checkpoint_id})).job


@pytest.mark.parametrize("child", [retried, started_from])
def test_what_a_living_job_begins_from_is_not_purged(store: Store, child: Callable[[Store, Job], Job]) -> None:
    parent = failed(store)
    follower = child(store, parent)
    removal.hide(store, TENANT, parent.id)
    assert purge(store) == []
    assert not removal.purge(store, parent.id)
    leases.fail(store, claimed(store, follower.id), FAILURE)
    assert purge(store) == []  # a retry of that one would begin there too
    removal.hide(store, TENANT, follower.id)
    assert set(purge(store)) == {parent.id, follower.id}


def test_a_parent_is_purged_once_its_extension_needs_nothing_of_it(store: Store) -> None:
    parent = succeeded(store)
    child = jobs.extend(store, TENANT, parent.id, 2).job
    removal.hide(store, TENANT, parent.id)
    lease = claimed(store, child.id)
    checkpoint(store, lease, 4)
    # Its best is the parent's still: no epoch of its own has beaten it.
    assert checkpoints.get(store, jobs.get(store, TENANT, child.id), "best").job_id == parent.id
    assert purge(store) == []
    better = checkpoints.Draft(5, 50, {"val.loss": 0.1}, False, f"{lease.job_id}/{lease.fence}/5", [])
    checkpoints.record(store, lease, better)
    assert purge(store) == [parent.id]


def test_a_checkpoint_that_a_job_starts_from_is_kept_though_the_policy_of_its_own_job_would_drop_it(store: Store) -> None:
    lease = running(store, checkpoints={**SPEC.checkpoints.model_dump(), "keep_last": 1})
    first, _ = checkpoint(store, lease, 1), checkpoint(store, lease, 2)
    second = checkpoint(store, lease, 3)
    kept = {found.id for found in checkpoints.listed(store, jobs.get(store, TENANT, lease.job_id))}
    assert kept == {first, second}  # the best and the last
    jobs.submit(store, TENANT, SPEC.model_copy(update={"init_from": second}))
    third = checkpoint(store, lease, 4)
    assert {found.id for found in checkpoints.listed(store, jobs.get(store, TENANT, lease.job_id))} == {first, second, third}


@pytest.mark.parametrize(
    ("spec", "code"),
    [({}, "not_found"), ({"model": {"kind": "linear"}}, "layers_misfit"), ({"dataset": {"kind": "fake", "outputs": 3}}, "layers_misfit")],
)
def test_weights_that_are_not_there_or_not_of_this_network_are_refused(sqlite_store: Store, spec: dict[str, Any], code: str) -> None:
    parent = failed(sqlite_store)
    document = SPEC.model_dump(mode="json") | {"init_from": parent.checkpoint_id if spec else "ckpt_" + "0" * 26} | spec
    with pytest.raises(InvalidSpecError) as refused:
        jobs.submit(sqlite_store, TENANT, JobSpec.model_validate(document))
    assert [(fault.pointer, fault.code) for fault in refused.value.faults] == [("/init_from", code)]


def test_weights_of_another_tenant_or_of_a_deleted_job_are_not_found(store: Store) -> None:
    parent = failed(store)
    spec = SPEC.model_copy(update={"init_from": parent.checkpoint_id})
    with pytest.raises(InvalidSpecError, match="there is no checkpoint"):
        jobs.submit(store, "another", spec)
    removal.hide(store, TENANT, parent.id)
    with pytest.raises(InvalidSpecError, match="there is no checkpoint"):
        jobs.assert_possible(store, TENANT, spec)


def test_the_key_of_a_deleted_job_brings_nothing_back(store: Store) -> None:
    job = jobs.submit(store, TENANT, SPEC, "key").job
    jobs.cancel(store, TENANT, job.id)
    removal.hide(store, TENANT, job.id)
    with pytest.raises(GoneError, match="new key"):
        jobs.submit(store, TENANT, SPEC, "key")


def test_a_job_whose_retry_was_deleted_can_be_retried_again(store: Store) -> None:
    parent = failed(store)
    retry = retried(store, parent)
    lease = claimed(store, retry.id)
    leases.succeed(store, Lease(retry.id, lease.fence), {"stop_reason": "epochs"})
    removal.hide(store, TENANT, retry.id)
    assert jobs.retry(store, TENANT, parent.id).job.id != retry.id


@pytest.mark.parametrize(
    ("statement", "guard"),
    [
        ("DELETE FROM jobs", "jobs_go_hidden"),
        ("UPDATE jobs SET deleted_at = 1.0", "jobs_hidden_has_ended"),
    ],
)
def test_the_database_itself_keeps_a_job_that_is_not_deleted(store: Store, statement: str, guard: str) -> None:
    jobs.submit(store, TENANT, SPEC)
    with pytest.raises(IntegrityError, match=guard), store.write() as connection:
        connection.execute(text(statement))


def test_the_database_itself_lets_no_deleted_job_come_back(store: Store) -> None:
    removal.hide(store, TENANT, failed(store).id)
    with pytest.raises(IntegrityError, match="jobs_hidden_stays"), store.write() as connection:
        connection.execute(text("UPDATE jobs SET deleted_at = NULL"))

"""What the rows of uploaded data sets promise: whose they are, how many bytes there is room for, and which ones go."""

import pytest

from contract.errors import InUseError, InvalidSpecError, NotFoundError, QuotaSpentError, StoreUnavailableError
from contract.events import File
from contract.job import Job
from contract.spec import JobSpec
from contract.store import Store, datasets, jobs
from contract.store.datasets import Dataset, Draft

ROOM = 1000
FACTS = {"shape": [1, 1, 4], "outputs": 2, "targets": "classes", "train_rows": 9, "unlabelled_rows": 0, "test_rows": 0}


def begun(store: Store, tenant: str = "a", number: int = 0, size: int = 400) -> Dataset:
    file = File(name="x_train.npy", size_bytes=size, sha256="0" * 64)
    return datasets.begin(store, tenant, Draft("n", "npz", f"{number:064}", FACTS, [file]), ROOM)


def ready(store: Store, tenant: str = "a", number: int = 0) -> Dataset:
    return datasets.finish(store, begun(store, tenant, number))


def submit(store: Store, tenant: str, dataset_id: str) -> Job:
    known = {"name": "n", "sha256": "0" * 64, "channels": 1, "height": 1, "width": 4} | {key: FACTS[key] for key in FACTS if key != "shape"}
    dataset = {"kind": "uploaded", "id": dataset_id, "resolved": known}
    return jobs.submit(store, tenant, JobSpec.model_validate({"dataset": dataset, "model": {"kind": "linear"}})).job


def test_a_tenant_has_room_for_so_many_bytes_those_under_way_among_them_and_no_other_tenants(store: Store) -> None:
    first = begun(store, number=1)
    begun(store, "b", number=2, size=1000)
    begun(store, number=3, size=600)
    with pytest.raises(QuotaSpentError, match="1 bytes more than the 1,000"):
        begun(store, number=4, size=1)
    datasets.abandon(store, first.id)
    assert begun(store, number=4).state == "storing"


def test_the_same_content_is_one_set_for_a_tenant_and_another_one_for_another(store: Store) -> None:
    one = ready(store)
    assert begun(store, size=10**9) == one, "what is there already needs no room"
    other = begun(store, "b")
    assert (other.id != one.id, other.prefix.split("/")[1] != one.prefix.split("/")[1]) == (True, True)


def test_only_what_is_being_stored_is_given_up_and_only_what_was_deleted_is_forgotten(sqlite_store: Store) -> None:
    kept, cut = ready(sqlite_store), begun(sqlite_store, number=1)
    for dataset in (kept, cut):
        datasets.purged(sqlite_store, dataset.id)
        datasets.abandon(sqlite_store, dataset.id)
    assert datasets.get(sqlite_store, "a", kept.id) == kept
    with pytest.raises(StoreUnavailableError, match="upload it again"):
        datasets.finish(sqlite_store, cut)
    assert datasets.to_purge(sqlite_store, 3600) == [(cut.id, cut.prefix)]
    datasets.purged(sqlite_store, cut.id)
    assert datasets.to_purge(sqlite_store, -60) == []


def test_an_upload_under_way_is_seen_by_nobody_and_purged_only_once_it_was_cut_off(sqlite_store: Store) -> None:
    storing = begun(sqlite_store)
    assert datasets.page(sqlite_store, "a", 10) == datasets.to_purge(sqlite_store, 3600) == []
    for ask in (datasets.get, datasets.remove):
        with pytest.raises(NotFoundError):
            ask(sqlite_store, "a", storing.id)
    assert datasets.to_purge(sqlite_store, -60) == [(storing.id, storing.prefix)]


def test_a_job_is_made_on_its_own_tenants_ready_set_alone(store: Store) -> None:
    own, storing, foreign = ready(store), begun(store, number=1), ready(store, "b", 2)
    assert submit(store, "a", own.id).spec["dataset"]["id"] == own.id
    for dataset in (storing, foreign):
        with pytest.raises(InvalidSpecError):
            submit(store, "a", dataset.id)


def test_a_set_stays_for_as_long_as_a_job_of_its_tenant_needs_it(store: Store) -> None:
    one, other = ready(store), ready(store, number=1)
    made = [submit(store, "a", one.id) for _ in range(4)]
    datasets.remove(store, "a", other.id)
    with pytest.raises(InUseError, match=f"{made[0].id}.* and others"):
        datasets.remove(store, "a", one.id)
    jobs.cancel(store, "a", made[0].id)
    with pytest.raises(InUseError) as told:
        datasets.remove(store, "a", one.id)
    assert "and others" not in str(told.value)
    for job in made[1:]:
        jobs.cancel(store, "a", job.id)
    datasets.remove(store, "a", one.id)
    with pytest.raises(NotFoundError):
        datasets.remove(store, "a", one.id)

"""Jobs that are asked for at the same time are read at once, and each client hears of its own."""

import pytest

from contract.errors import NotFoundError
from contract.spec import JobSpec
from contract.store import Store, jobs, removal
from service import looks
from service.forecast import Forecast
from service.looks import Look, Seen
from tests.service.test_together import statements

SPEC = JobSpec.model_validate({"dataset": {"kind": "fake"}})


def made(store: Store, tenant: str = "default") -> str:
    return jobs.submit(store, tenant, SPEC).job.id


def test_each_hears_of_the_job_it_asked_for_and_nothing_of_another_tenants(store: Store) -> None:
    one, other, foreign = made(store), made(store), made(store, "foreign")
    wanted = [Look("default", name) for name in (one, foreign, other, one, "job_" + "0" * 26)]
    found = looks.all_of(store, Forecast(), wanted)
    assert [type(seen) for seen in found] == [Seen, NotFoundError, Seen, Seen, NotFoundError]
    assert [seen.job.id for seen in found if isinstance(seen, Seen)] == [one, other, one]
    assert all(seen.body and f'"{seen.job.id}"' in seen.body for seen in found if isinstance(seen, Seen))


def test_a_job_that_was_deleted_is_not_found(store: Store) -> None:
    name = made(store)
    jobs.cancel(store, "default", name)
    removal.hide(store, "default", name, lambda _: None)
    assert [type(seen) for seen in looks.all_of(store, Forecast(), [Look("default", name)])] == [NotFoundError]


def test_who_knows_a_job_gets_no_body_beside_one_who_does_not(store: Store) -> None:
    name, forecast = made(store), Forecast()
    [first] = looks.all_of(store, forecast, [Look("default", name)])
    assert isinstance(first, Seen)
    found = looks.all_of(store, forecast, [Look("default", name, first.etag), Look("default", name)])
    assert [(seen.etag, seen.body) for seen in found if isinstance(seen, Seen)] == [(first.etag, None), (first.etag, first.body)]


def test_ten_jobs_are_read_by_as_few_statements_as_one(sqlite_store: Store) -> None:
    names, forecast, counts = [made(sqlite_store) for _ in range(10)], Forecast(), []
    looks.all_of(sqlite_store, forecast, [Look("default", names[0])])  # the forecast is fresh from now on
    for some in (names[:1], names):
        with statements(sqlite_store) as sent:
            looks.all_of(sqlite_store, forecast, [Look("default", name) for name in some])
        counts.append(sum(statement.startswith("SELECT") for statement, _ in sent))
    assert counts == [3, 3]  # rows, places and histories


def test_a_job_that_cannot_be_shown_leaves_those_beside_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    broken, fine = made(store), made(store)
    job = looks.views.job

    def shown(row: jobs.Job, *rest: object) -> object:
        if row.id == broken:
            raise ValueError("of a newer version")
        return job(row, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(looks.views, "job", shown)
    found = looks.all_of(store, Forecast(), [Look("default", broken), Look("default", fine)])
    assert [type(seen) for seen in found] == [ValueError, Seen]

"""A database that is cut off, killed or fought over: nothing is lost, nothing done twice, nobody mistaken about what happened."""

from pathlib import Path

import pytest

from contract.store import Store, jobs, leases, schema
from contract.store.leases import Lease
from contract.store.rows import Note
from tests.faults import commits, locks, outages

pytestmark = [pytest.mark.faults, pytest.mark.storm]


@pytest.fixture
def postgresql_migrated(postgresql_url: str) -> str:
    store = Store(postgresql_url)
    schema.migrate(store)
    store.close()
    return postgresql_url


@pytest.fixture
def trainer_finds_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


def test_a_commit_whose_answer_is_lost_is_never_mistaken(postgresql_migrated: str) -> None:
    report = commits.storm(postgresql_migrated, number=30, seed=1)
    report.assert_kept()


def test_news_that_are_told_without_their_number_are_found_doubled(postgresql_migrated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contract.lifecycle.is_told", lambda *_: False)
    report = commits.storm(postgresql_migrated, number=3, seed=1, deeds=["renew"])
    assert any("within one attempt" in violation for violation in report.violations), report


def test_processes_that_fight_over_one_file_each_get_their_turn_and_lose_nothing(sqlite_store: Store) -> None:
    report = locks.storm(sqlite_store.engine.url.render_as_string(hide_password=False), transactions=600, seed=1)
    report.assert_kept()
    assert min(report.notes[name] for name in ("submitted", "claimed", "renewals", "succeeded", "cancels")) > 5


@pytest.mark.usefixtures("trainer_finds_its_code")
def test_while_the_server_is_away_for_less_than_a_lease_every_owner_keeps_its_job() -> None:
    report = outages.storm(number=2, seed=1, lease_seconds=20, away_seconds=0)
    report.assert_kept()
    assert (report.notes["attempts"], report.notes["crashes"]) == (report.jobs, 0)


@pytest.mark.usefixtures("trainer_finds_its_code")
def test_after_the_server_was_away_for_longer_than_a_lease_every_job_goes_on_and_none_counts_as_crashed() -> None:
    report = outages.storm(number=1, seed=2, lease_seconds=4, away_seconds=6)
    report.assert_kept()
    assert report.notes["crashes"] == 0


@pytest.mark.usefixtures("trainer_finds_its_code")
def test_a_worker_whose_commits_are_cut_loses_nothing_and_tells_nothing_twice(postgresql_migrated: str, tmp_path: Path) -> None:
    report = outages.cut_off(postgresql_migrated, tmp_path, number=12, seed=1)
    report.assert_kept()
    assert report.notes["crashes"] == 0


def test_a_job_that_its_owner_lost_sight_of_is_begun_under_a_new_fence(store: Store) -> None:
    job_id = jobs.submit(store, "default", commits.SPEC).job.id
    first = leases.claim(store, "worker", "cpu", 60)
    assert first is not None
    leases.renew(store, Lease(job_id, first.fence), 60, notes=[Note("log", "of the first attempt")], batch=1)
    assert leases.give_back(store, "another") is None
    leases.give_back(store, "worker")
    again = leases.claim(store, "worker", "cpu", 60)
    assert again is not None
    leases.renew(store, Lease(job_id, again.fence), 60, notes=[Note("log", "of the second attempt")], batch=1)
    assert [event.message for event in jobs.events(store, job_id) if event.type == "log"] == [
        "of the first attempt",
        "of the second attempt",
    ]
    assert (again.fence, again.crash_count) == (2, 0)

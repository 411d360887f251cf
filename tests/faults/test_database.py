"""A database that is cut off, killed or fought over: nothing is lost, nothing done twice, nobody mistaken about what happened."""

import pytest

from contract.store import Store, schema
from tests.faults import commits, locks


@pytest.fixture
def postgresql_migrated(postgresql_url: str) -> str:
    store = Store(postgresql_url)
    schema.migrate(store)
    store.close()
    return postgresql_url


def test_a_commit_whose_answer_is_lost_is_never_mistaken(postgresql_migrated: str) -> None:
    report = commits.storm(postgresql_migrated, number=30, seed=1)
    report.assert_kept()


def test_news_that_are_told_without_their_number_are_found_doubled(postgresql_migrated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contract.lifecycle.is_told", lambda *_: False)
    report = commits.storm(postgresql_migrated, number=3, seed=1, deeds=["renew"])
    assert any("epochs [1, 1]" in violation for violation in report.violations), report


def test_processes_that_fight_over_one_file_each_get_their_turn_and_lose_nothing(sqlite_store: Store) -> None:
    report = locks.storm(sqlite_store.engine.url.render_as_string(hide_password=False), transactions=900, seed=1)
    report.assert_kept()
    assert min(report.notes[name] for name in ("submitted", "claimed", "renewals", "succeeded", "cancels")) > 10

"""A cancel that meets another deed: exactly one of them wins, and whoever was told otherwise was told the truth."""

from pathlib import Path

import pytest

from contract import lifecycle
from contract.store import Store
from tests.faults import obedience, races

pytestmark = pytest.mark.faults


def test_a_cancel_that_meets_another_deed_wins_or_is_refused_and_never_both(store: Store) -> None:
    report = races.storm(store.engine.url.render_as_string(hide_password=False), number=50, seed=1)
    report.assert_kept()
    assert set(report.counts) == {state.value for state in races.RIVALS}


def test_no_trainer_is_at_work_on_a_job_that_is_cancelled(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    report = obedience.storm(store.engine.url.render_as_string(hide_password=False), tmp_path, number=10, seed=1)
    report.assert_kept()
    assert report.counts["cancelled"] >= 3


def test_a_cancel_that_is_taken_too_late_is_found_out(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    true = lifecycle.cancel
    monkeypatch.setattr(lifecycle, "cancel", lambda job, now: job if job.is_terminal else true(job, now))
    report = races.storm(sqlite_store.engine.url.render_as_string(hide_password=False), number=120, seed=1)
    assert any("the cancel was taken, and the job is succeeded" in violation for violation in report.violations), report

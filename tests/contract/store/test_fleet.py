"""The fake fleet of benchmarks/scale does what a real one does: every job it is given ends once, with all that belongs to it."""

from collections.abc import Callable
from typing import Final

import pytest
from sqlalchemy import text

from benchmarks.scale import fleet, invariants, sizes
from benchmarks.scale.fake import Course, Deed
from benchmarks.scale.fleet import Plan
from contract.store import Store

COURSE: Final = Course(epochs=2, reports=1, renew_seconds=0.02, poll_seconds=0.1)
JOBS: Final = 6


@pytest.fixture
def trained(store: Store) -> tuple[Store, fleet.Heard]:
    """The store after a fleet of three has worked the queue off."""
    sizes.submit(store, COURSE, JOBS)
    url = store.engine.url.render_as_string(hide_password=False)
    return store, fleet.run(Plan(url, workers=3, course=COURSE, connections=2, seconds=None, ramp_seconds=0.0), processes=1)


def test_every_job_succeeds_once_with_its_history_and_numbers(trained: tuple[Store, fleet.Heard]) -> None:
    store, heard = trained
    assert invariants.by_state(store) == {"succeeded": JOBS}
    assert invariants.broken(store) == {}
    assert heard.lost == 0
    sent = {deed: len(heard.took[deed]) for deed in (Deed.RENEW, Deed.CHECKPOINT, Deed.SUCCEED)}
    assert sent == {Deed.RENEW: JOBS * COURSE.renewals, Deed.CHECKPOINT: JOBS * COURSE.epochs, Deed.SUCCEED: JOBS}


def test_what_is_broken_is_told(trained: tuple[Store, fleet.Heard]) -> None:
    store, _ = trained
    with store.write() as connection:
        one = connection.execute(text("SELECT min(id) FROM jobs")).scalar_one()
        for table in ("metrics", "job_events", "results"):
            connection.execute(text(f"DELETE FROM {table} WHERE job_id = :id"), {"id": one})
        connection.execute(text("DELETE FROM checkpoints WHERE id = (SELECT checkpoint_id FROM jobs WHERE id = :id)"), {"id": one})
    assert invariants.broken(store) == {
        "succeeded without one result": 1,
        "gaps in a job's events": 1,
        "an epoch without its metrics": 1,
        "a checkpoint that is not there": 1,
    }


def test_a_fleet_that_cannot_keep_up_says_how_late_it_is(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lateness counts from when a renewal was due, not from when somebody came to send it."""
    hindered: Callable[..., object] = sqlite_store.now  # each transaction takes a while longer

    def slowly(self: Store, connection: object) -> object:
        import time

        time.sleep(0.02)
        return hindered(connection)

    monkeypatch.setattr(Store, "now", slowly)
    sizes.submit(sqlite_store, COURSE, 4)
    url = str(sqlite_store.engine.url)
    heard = fleet.run(Plan(url, workers=4, course=COURSE, connections=1, seconds=2.0, ramp_seconds=0.0), processes=1)
    assert max(heard.late) > max(heard.took[Deed.RENEW])

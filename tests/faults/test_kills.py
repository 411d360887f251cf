"""That no process is so important that its death, at any moment, costs a job, doubles a result or changes a bit of it."""

import pytest

from tests.faults import storms

pytestmark = [pytest.mark.faults, pytest.mark.storm]

SEED = 20261122


@pytest.mark.timeout(900)
def test_a_storm_of_kills_breaks_no_promise_on_sqlite() -> None:
    report = storms.kills(40, SEED, "sqlite")
    report.assert_kept()
    assert report.faults >= 40
    assert report.jobs >= 20

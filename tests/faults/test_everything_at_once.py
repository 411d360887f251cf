"""That a machine which loses its power with all that runs on it loses no job."""

import pytest

from tests.faults.at_once import at_once

pytestmark = [pytest.mark.faults, pytest.mark.storm]

SEED = 20261122


@pytest.mark.timeout(900)
def test_after_kill_9_of_everything_the_next_up_ends_every_job_and_down_leaves_nothing() -> None:
    report = at_once(1, SEED, "sqlite")
    report.assert_kept()
    # `up`, API, broker, and of each worker three; one may be about to be started again.
    assert report.faults >= 8

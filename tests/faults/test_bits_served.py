"""That an interruption, of whatever sort and at whatever step, changes no bit of what the service gives back."""

import pytest

from tests.faults.bits_served import bits_served

pytestmark = [pytest.mark.faults, pytest.mark.storm]

SEED = 20261122


@pytest.mark.timeout(900)
def test_jobs_of_five_kinds_end_with_the_same_bits_however_often_they_were_interrupted() -> None:
    report = bits_served(5, SEED, "sqlite")
    report.assert_kept()
    assert report.faults >= 5

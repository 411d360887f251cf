"""That the broker is a doorbell: it may be flushed, killed, absent, deaf or robbed, and no job is lost or kept waiting."""

import pytest

from tests.faults.broker import broker

pytestmark = [pytest.mark.faults, pytest.mark.storm]

SEED = 20261122


@pytest.mark.timeout(900)
def test_nothing_that_befalls_the_broker_loses_or_delays_a_job() -> None:
    report = broker(20, SEED)
    report.assert_kept()
    assert report.faults == 20
    assert report.counts.keys() >= {"absent from the start", "drained, shut", "drained, hole"}

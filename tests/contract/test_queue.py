"""The doorbell's settings reach Celery as they are written down, and a bell without a broker harms nobody."""

import pytest

from contract import queue
from contract.errors import BrokerUnavailableError

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.mark.parametrize("name", queue.SETTINGS)
def test_a_setting_is_one_that_celery_knows_and_takes(name: str) -> None:
    celery = queue.app(NOWHERE)
    assert celery.conf[name] == queue.SETTINGS[name]
    assert name in celery.conf.defaults[-1] or name.startswith("worker_pool_start")


def test_a_ring_without_a_broker_is_false_and_raises_nothing() -> None:
    assert queue.ring(queue.app(NOWHERE), ["job_1", "job_2"]) is False


def test_a_broker_that_is_away_is_told_with_its_cause() -> None:
    with pytest.raises(BrokerUnavailableError, match="does not answer"):
        queue.ping(queue.app(NOWHERE))

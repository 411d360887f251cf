"""The doorbell's settings reach Celery as they are written down, and a bell without a broker harms nobody."""

from pathlib import Path

import pytest

from benchmarks.scale import broker
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


def test_rings_that_nobody_hears_do_not_fill_the_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "MOST_WAITING", 3)
    with broker.served(tmp_path) as (_, url), queue.app(url) as celery:
        assert queue.ring(celery, ["job_1", "job_2", "job_3"]) is True
        assert queue.ring(celery, ["job_4"]) is False
        with celery.connection_for_read() as connection:
            assert connection.default_channel.client.llen(queue.QUEUE) == 3
            connection.default_channel.client.lpop(queue.QUEUE)
        assert queue.ring(celery, ["job_4"]) is True


def test_the_first_ring_after_a_broker_began_anew_is_heard(tmp_path: Path) -> None:
    with broker.served(tmp_path) as (_, url):
        celery = queue.app(url)
        assert queue.ring(celery, ["job_1"]) is True
    with broker.served(tmp_path):
        assert queue.ring(celery, ["job_2"]) is True
    celery.close()


def test_a_broker_that_is_away_is_told_with_its_cause() -> None:
    with pytest.raises(BrokerUnavailableError, match="does not answer"):
        queue.ping(queue.app(NOWHERE))

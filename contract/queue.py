"""The doorbell: Celery carries a job's id to a free worker and nothing else. Losing a ring costs latency, never a job."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from contract.errors import BrokerUnavailableError

if TYPE_CHECKING:
    from celery import Celery

TRAIN: Final = "ridgeline.train"
QUEUE: Final = "ridgeline"
MOST_WAITING: Final = 20_000
"""Rings that may wait in the broker, 20 MB. While every worker is busy nobody takes them, the old ones either, and a queue of a day would be gigabytes."""

SETTINGS: Final[dict[str, Any]] = {
    # The row in SQL is the lease. Late acknowledgement would have Redis hand a long job to a second worker while the first
    # still trains (visibility timeout), and cannot keep a message alive through a kill between pop and note either.
    "task_acks_late": False,
    # The result is a row. A result backend would be a second, weaker truth.
    "task_ignore_result": True,
    "result_backend": None,
    # One child a worker. It may be a fork, which starts a second sooner, because it never loads torch: threads and CUDA do not
    # survive a fork, and live in the trainer, a fresh process below the child.
    "worker_pool": "prefork",
    "worker_pool_start_method": "fork",
    "worker_concurrency": 1,
    # A busy worker must not hoard the next ring while another worker is free.
    "worker_prefetch_multiplier": 1,
    "worker_disable_prefetch": True,
    # Limits, retries and backoff are columns that the reconciler reads; Celery's own would be forgotten with the message.
    "task_time_limit": None,
    "task_soft_time_limit": None,
    # A ring is an id in JSON. Nothing here is ever unpickled.
    "accept_content": ["json"],
    "task_serializer": "json",
    # A worker outlives its broker: it keeps training, polls the table meanwhile, and connects again for as long as it takes.
    "broker_connection_max_retries": None,
    "broker_connection_retry_on_startup": True,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    # A typo in a queue's name should fail, not create a queue that nobody hears.
    "task_default_queue": QUEUE,
    "task_create_missing_queues": False,
    # Our own lines have a form of their own; Celery must neither reformat them nor call what is printed a warning.
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
    # Nobody listens: what a worker does is in the workers table, which tells more than a ping that stays green on a worker
    # that consumes nothing.
    "worker_send_task_events": False,
    "worker_enable_remote_control": False,
    "broker_transport_options": {
        # With early acknowledgement only a message that a dying consumer held is given back; soon is better than an hour.
        "visibility_timeout": 300,
        # A broker that swallows packets is noticed instead of waited for.
        "socket_timeout": 15,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 25,
    },
    # A submission is durable before it rings; it must not wait for a broker that is down.
    "task_publish_retry": True,
    "task_publish_retry_policy": {"max_retries": 1, "interval_start": 0.0, "interval_step": 0.1, "interval_max": 0.2},
}


def app(redis_url: str) -> "Celery":
    """The Celery app on this broker. Connects to nothing yet."""
    # Here, as in the functions below: whoever only reads this module need not wait for Celery.
    from celery import Celery
    from kombu.entity import Queue

    made = Celery("ridgeline", broker=redis_url, set_as_current=False)
    made.conf.update(SETTINGS, task_queues=[Queue(QUEUE)])  # type: ignore[no-untyped-call]
    return made


def ring(celery: "Celery", job_ids: Sequence[str]) -> bool:
    """Tell free workers that these jobs wait. False, and a line in the log, when the broker is not to be had; False as well where more
    rings wait than workers, who look at the table anyway, could need."""
    from kombu.exceptions import OperationalError

    try:
        with celery.producer_or_acquire() as producer:
            if _waiting(producer) >= MOST_WAITING:
                return False
            for job_id in job_ids:
                # An old ring says nothing that the table does not.
                celery.send_task(TRAIN, args=[job_id], queue=QUEUE, expires=600, producer=producer)
    except (OperationalError, OSError) as error:
        logging.getLogger(__name__).warning("no ring for %s, workers will find it by polling: %s", ", ".join(job_ids), error)
        return False
    return True


def _waiting(producer: Any) -> int:
    try:
        return int(producer.channel.client.llen(QUEUE))
    except Exception:  # redis-py has a tree of its own; the ring itself connects again, or tells what is wrong
        return 0


def ping(celery: "Celery") -> None:
    """Raises BrokerUnavailableError, with the cause, unless the broker answers within a second or so."""
    from kombu.exceptions import OperationalError

    try:
        options = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0}
        with celery.connection_for_write(connect_timeout=1, transport_options=options) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=2)
            connection.default_channel.client.ping()
    except (OperationalError, OSError) as error:
        raise BrokerUnavailableError(f"the broker does not answer: {error}") from error
    except Exception as error:
        # redis-py has a tree of its own, and kombu wraps only a part of it.
        raise BrokerUnavailableError(f"the broker does not answer: {type(error).__name__}: {error}") from error

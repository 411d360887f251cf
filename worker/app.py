"""The Celery side of a worker: a ring reaches the supervisor, and a shutdown reaches it in time."""

import logging
import os
import signal
from typing import Any

from celery import signals

from contract import queue, settings
from worker.supervisor import Supervisor

celery = queue.app(settings.current().redis_url)

_controller: Any = None
_supervisor: Supervisor | None = None


@celery.task(name=queue.TRAIN)  # type: ignore[untyped-decorator]
def train(job_id: str) -> None:
    """A job waits: do it, and whatever else waits."""
    if _supervisor:
        _supervisor.answer(job_id)


@signals.worker_process_init.connect  # type: ignore[untyped-decorator]
def _begin(**_: Any) -> None:
    """In the child: start the supervisor, whose trainer warms up from now on."""
    global _supervisor
    _supervisor = Supervisor(settings.current())
    # Not SIGUSR1: the pool's children take that one for a time limit.
    signal.signal(signal.SIGUSR2, lambda *_: _supervisor.drain() if _supervisor else None)
    _supervisor.start()


@signals.worker_process_shutdown.connect  # type: ignore[untyped-decorator]
def _end(**_: Any) -> None:
    """In the child: release the present job and leave nothing running."""
    if _supervisor:
        _supervisor.close()


@signals.worker_init.connect  # type: ignore[untyped-decorator]
def _remember(sender: Any, **_: Any) -> None:
    global _controller
    _controller = sender


@signals.worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _pass_on(**_: Any) -> None:
    """In the main process: a warm shutdown waits for running tasks, so ask the child to bring its job to a checkpoint now."""
    for pid in _controller.pool.info["processes"]:
        try:
            os.kill(pid, signal.SIGUSR2)
        except ProcessLookupError:
            logging.getLogger(__name__).info("worker child %s is gone already", pid)

"""What a running service holds, and the order in which it is opened and closed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from contract import objects, queue
from contract.artifacts import Artifacts
from contract.settings import Settings
from contract.store import Store
from service.bell import Bell
from service.forecast import Forecast
from service.hooks.courier import Courier
from service.reconciler import Reconciler
from service.tails import Tails

if TYPE_CHECKING:
    from celery import Celery

_STOP_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class State:
    """One for each process, from start to end."""

    settings: Settings
    store: Store
    artifacts: Artifacts
    celery: "Celery"
    bell: Bell
    tails: Tails
    courier: Courier
    stopping: threading.Event
    """Set when the process is asked to end: streams and loops look at it."""
    forecast: Forecast = field(default_factory=Forecast)


@contextmanager
def opened(settings: Settings, stopping: threading.Event) -> Iterator[State]:
    """Everything open and every thread running. Reaches for no server: what is down is told by /readyz, not by a crash."""
    store = Store(settings.database_url)
    artifacts = objects.opened(settings)
    celery = queue.app(settings.redis_url)
    bell = Bell(partial(queue.ring, celery))
    reconciler = Reconciler(
        store,
        artifacts,
        bell.ring,
        lease_seconds=settings.lease_seconds,
        every_seconds=settings.reconcile_seconds,
        garbage_seconds=settings.garbage_seconds,
        purge_seconds=settings.purge_seconds,
        stopping=stopping,
    )
    courier = Courier(store, settings, stopping)
    bell.start()
    reconciler.start()
    courier.start()
    try:
        yield State(settings, store, artifacts, celery, bell, Tails(store), courier, stopping)
    finally:
        stopping.set()
        courier.stop(_STOP_SECONDS / 2)
        bell.stop()
        reconciler.join(_STOP_SECONDS)
        store.close()

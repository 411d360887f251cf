"""What a running service holds, and the order in which it is opened and closed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING

import structlog

from contract import objects, queue
from contract.artifacts import Artifacts
from contract.errors import OperatorError
from contract.settings import Settings
from contract.store import Store, quotas, submissions
from contract.store.quotas import Limits
from contract.store.submissions import Asked, Submission
from service import looks
from service.bell import MAX_WAITING, Bell
from service.callers import Gate
from service.forecast import Forecast
from service.hooks.courier import Courier
from service.looks import Look, Seen
from service.reconciler import Reconciler
from service.tails import Tails
from service.together import Together

if TYPE_CHECKING:
    from celery import Celery

_STOP_SECONDS = 1.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class State:
    """One for each process, from start to end."""

    settings: Settings
    store: Store
    artifacts: Artifacts
    celery: "Celery"
    bell: Bell
    submitter: Together[Asked, Submission]
    """Writes submissions down: those that come together in one commit."""
    looker: Together[Look, Seen]
    """Reads jobs: those that are asked for together in one go."""
    tails: Tails
    courier: Courier
    stopping: threading.Event
    """Set when the process is asked to end: streams and loops look at it."""
    gate: Gate
    forecast: Forecast


@contextmanager
def opened(settings: Settings, stopping: threading.Event) -> Iterator[State]:
    """Everything open and every thread running. Reaches for no server: what is down is told by /readyz, not by a crash."""
    store = Store(settings.database_url)
    artifacts = objects.opened(settings)
    celery = queue.app(settings.redis_url)
    forecast = Forecast()
    bell = Bell(partial(queue.ring, celery), partial(_crew, forecast, store))
    submitter: Together[Asked, Submission] = Together(partial(submissions.write, store), submissions.MOST, "submitter")
    looker: Together[Look, Seen] = Together(partial(looks.all_of, store, forecast), looks.MOST, "looker")
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
    _settle(store, settings)
    courier = Courier(store, settings, stopping)
    bell.start()
    submitter.start()
    looker.start()
    reconciler.start()
    courier.start()
    try:
        yield State(settings, store, artifacts, celery, bell, submitter, looker, Tails(store), courier, stopping, Gate(settings), forecast)
    finally:
        stopping.set()
        submitter.stop(_STOP_SECONDS)  # before the bell, which rings for what was written
        looker.stop(_STOP_SECONDS / 2)
        courier.stop(_STOP_SECONDS / 2)
        bell.stop()
        reconciler.join(_STOP_SECONDS)
        store.close()


def _crew(forecast: Forecast, store: Store) -> int:
    """How many workers there are, as last seen; many, where nobody can say."""
    try:
        return forecast.look(store).workers
    except OperatorError:
        return MAX_WAITING


def _settle(store: Store, settings: Settings) -> None:
    """Write down what everybody may have: workers hold to it too, and read it there."""
    names = (field.name for field in fields(Limits))
    try:
        quotas.settle(store, Limits(**{name: getattr(settings, f"quota_{name}") for name in names}))
    except OperatorError as error:
        log.error("the quotas of the settings are not in force, they are set at the next start", error=str(error))

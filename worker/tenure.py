"""What an owner tells the store while it holds a job: a longer lease, its news, and again what had no answer."""

import threading
from collections.abc import Callable
from time import monotonic, sleep
from typing import TypeVar

import structlog

from contract.errors import StoreUnavailableError
from contract.job import Job
from contract.store import Store, leases
from contract.store.leases import Lease
from worker.telling import News

T = TypeVar("T")
log = structlog.get_logger(__name__)

DRAINING_SECONDS = 10.0
"""How long a worker that shuts down waits for a database that is away."""
_AGAIN_SECONDS = 1.0


class Tenure:
    """A job in our hands. `job` is its row as last heard; `news` what is still to be told of it."""

    def __init__(self, job: Job, store: Store, lease_seconds: float, draining: threading.Event) -> None:
        self.job = job
        self.lease = Lease(job.id, job.fence)
        self.news = News(dict(job.latest_metrics))
        self._store, self._lease_seconds, self._draining = store, lease_seconds, draining
        self._renewed_at = monotonic()

    def renew(self) -> None:
        """Prolong the lease and have one batch of news written down. Raises LostLeaseError, StoreUnavailableError."""
        batch = self.news.batch()
        self.job = leases.renew(self._store, self.lease, self._lease_seconds, batch.report, batch.notes, batch.samples, batch.number)
        self._renewed_at = monotonic()
        self.news.told()

    def tell_all(self) -> None:
        """Have everything written down that is still untold."""
        while not self.news.is_all_told:
            self.renew()

    @property
    def is_cut_off(self) -> bool:
        """Whether no renewal has succeeded for a whole lease: the job may be another's by now."""
        return monotonic() - self._renewed_at > self._lease_seconds

    def steadily(self, deed: Callable[[], T], for_seconds: float = float("inf")) -> T:
        """Do the deed, again and again while the database is away: its guards make repeating harmless.

        A worker that is shutting down tries for a while only; the job's lease then runs out and another worker goes on.
        """
        began = monotonic()
        while True:
            try:
                return deed()
            except StoreUnavailableError as error:
                log.warning("the database is away; trying again", job=self.job.id, cause=str(error))
                if monotonic() - began > (min(for_seconds, DRAINING_SECONDS) if self._draining.is_set() else for_seconds):
                    raise
                sleep(_AGAIN_SECONDS)

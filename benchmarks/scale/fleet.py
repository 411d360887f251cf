"""A thousand fake workers on a bounded number of connections, each at its own real rate by the clock, and how late they were."""

import heapq
import multiprocessing
import threading
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic, process_time, sleep
from typing import Final

from benchmarks.scale.fake import PULSE_SECONDS, Course, Deed, Worker
from contract.errors import LostLeaseError, StateConflictError, StoreUnavailableError
from contract.store import Store, checkpoints, deliveries, sweep, workers

_PROCESSES: Final = 2
_SWEEP_SECONDS: Final = 1.0
_LONGEST_SECONDS: Final = 120.0
"""Of a run that ends with the queue."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A run. It ends after `seconds`, or where that is None as soon as every worker found the queue empty."""

    url: str
    workers: int
    course: Course
    connections: int
    seconds: float | None
    ramp_seconds: float
    """Over which the workers start, and for which nothing is measured."""


@dataclass
class Heard:
    """What was measured."""

    took: dict[Deed, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds of each call, in the order of the calls."""
    late: list[float] = field(default_factory=list)
    """Seconds between when a renewal should have begun and when it was answered."""
    gaps: list[float] = field(default_factory=list)
    """Seconds between two renewals of a lease that were answered."""
    lost: int = 0
    """Leases that had expired when their owner came to renew them."""
    refused: int = 0
    """Calls that the store did not answer."""
    seconds: float = 0.0
    """Measured; the two below are of the whole run."""
    transactions: int = 0
    driver_cpu_seconds: float = 0.0

    def merge(self, other: "Heard") -> None:
        for deed, seconds in other.took.items():
            self.took[deed] += seconds
        self.late += other.late
        self.gaps += other.gaps
        self.lost += other.lost
        self.refused += other.refused
        self.seconds = max(self.seconds, other.seconds)
        self.transactions += other.transactions
        self.driver_cpu_seconds += other.driver_cpu_seconds


def run(plan: Plan, processes: int = _PROCESSES) -> Heard:
    """All of the fleet, beside one reconciler, shared out to processes; with one process it runs in this one. Always ends."""
    shares = [range(first, plan.workers, processes) for first in range(processes)]
    if processes == 1:
        return _run_share(plan, shares[0], plan.connections, reconciles=True)
    found = Heard()
    each = max(1, plan.connections // processes)
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        running = [pool.submit(_run_share, plan, share, each, reconciles=not index) for index, share in enumerate(shares)]
        for one in running:
            found.merge(one.result())
    return found


def _run_share(plan: Plan, numbers: Sequence[int], connections: int, *, reconciles: bool) -> Heard:
    store = Store(plan.url)
    share = _Share(plan, store, numbers)
    try:
        with ThreadPoolExecutor(connections + 1) as pool:
            threads = [pool.submit(share.work) for _ in range(connections)]
            if reconciles:
                threads.append(pool.submit(share.reconcile))
            for thread in threads:
                thread.result()
    finally:
        store.close()
    return share.heard


class _Share:
    """Some of the workers in one process. A thread takes who is due first, and nobody else touches that one meanwhile."""

    def __init__(self, plan: Plan, store: Store, numbers: Sequence[int]) -> None:
        self._plan, self._store = plan, store
        self._lock, self._over = threading.Lock(), threading.Event()
        self._began = monotonic() + 0.2
        self._measured_from = self._began + plan.ramp_seconds
        self._until = self._measured_from + (_LONGEST_SECONDS if plan.seconds is None else plan.seconds)
        self._idle: dict[str, int] = {}
        self._many = len(numbers)
        self._cpu_at = process_time()
        self._waiting: list[tuple[float, int, Worker]] = []
        for number in numbers:
            phase = self._began + plan.ramp_seconds * number / plan.workers
            worker = Worker(f"worker_{number}", due=phase, pulse_due=phase + PULSE_SECONDS * (number % 10) / 10)
            heapq.heappush(self._waiting, (worker.next_due, number, worker))
        self.heard = Heard()

    def work(self) -> None:
        """Until the end: who is due, one after the other."""
        while not self._over.is_set():
            taken = self._take()
            if taken is None:
                sleep(0.005)
                continue
            number, worker = taken
            self._serve(worker)
            with self._lock:
                heapq.heappush(self._waiting, (worker.next_due, number, worker))
        self._close()

    def reconcile(self) -> None:
        """What one API process does beside."""
        deeds = (sweep.expire, sweep.time_out, sweep.ring, workers.listed, checkpoints.to_purge, lambda store: deliveries.claim(store, 8))
        while not self._over.wait(_SWEEP_SECONDS):
            for deed in deeds:
                try:
                    deed(self._store)
                except StoreUnavailableError:  # as of SQLite, whose lock is fair to nobody; the next round does it
                    self.heard.refused += 1

    def _take(self) -> tuple[int, Worker] | None:
        now = monotonic()
        with self._lock:
            if now >= self._until or (self._plan.seconds is None and self._is_empty()):
                self._over.set()
            if self._over.is_set() or not self._waiting or self._waiting[0][0] > now:
                return None
            _, number, worker = heapq.heappop(self._waiting)
            return number, worker

    def _serve(self, worker: Worker) -> None:
        due = worker.next_due
        for deed, act in worker.deed(self._store, self._plan.course):
            began = monotonic()
            try:
                act()
            except (LostLeaseError, StateConflictError):
                worker.job = None
                self.heard.lost += 1
                return
            except StoreUnavailableError:
                self.heard.refused += 1
                return
            self._note(worker, deed, due, began)

    def _note(self, worker: Worker, deed: Deed, due: float, began: float) -> None:
        now = monotonic()
        with self._lock:
            if deed is Deed.CLAIM:
                self._idle[worker.id] = 0 if worker.job else self._idle.get(worker.id, 0) + 1
            gap = now - worker.renewed_at if deed is Deed.RENEW and worker.renewed_at is not None else None
            worker.renewed_at = now if deed in {Deed.CLAIM, Deed.RENEW} and worker.job else worker.renewed_at
            self.heard.transactions += 1
            if now < self._measured_from:
                return
            self.heard.took[deed].append(now - began)
            if deed is Deed.RENEW:
                self.heard.late.append(now - due)
            if gap is not None:
                self.heard.gaps.append(gap)

    def _is_empty(self) -> bool:
        """Whether the queue is: a claim can find nothing once because the reconciler has the last job in hand at that moment."""
        return len(self._idle) == self._many and min(self._idle.values()) > 2

    def _close(self) -> None:
        with self._lock:
            self.heard.seconds = monotonic() - self._measured_from
            self.heard.driver_cpu_seconds = process_time() - self._cpu_at

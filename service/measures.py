"""What is counted of requests, and how what is counted is laid out for Prometheus."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contract.errors import OperatorError
from contract.store import Store, gauges

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily, Metric

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_STREAM: Final = b"text/event-stream"


class Measures:
    """The counters of one application. Each process has its own: Prometheus scrapes each, and adds up."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self.registry: CollectorRegistry = CollectorRegistry()
        labels = ("operation", "method", "status")
        self.requests = Counter("ridgeline_http_requests", "Requests answered.", labels, registry=self.registry)
        self.seconds = Histogram(
            "ridgeline_http_request_seconds", "Until the end of the reply; streams of events are left out.", labels[:2],
            buckets=_BUCKETS, registry=self.registry,
        )  # fmt: skip
        self.streams = Gauge("ridgeline_event_streams_open", "Streams of events that are heard now.", registry=self.registry)


class Measured:
    """Wraps the application, outside of all else: what a guard refuses is a request too."""

    def __init__(self, app: ASGIApp, measures: Measures) -> None:
        self._app = app
        self._measures = measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, is_stream = time.perf_counter(), 0, False

        async def noted(message: Message) -> None:
            nonlocal status, is_stream
            if message["type"] == "http.response.start":
                status = message["status"]
                if any(name == b"content-type" and value.startswith(_STREAM) for name, value in message["headers"]):
                    is_stream = True
                    self._measures.streams.inc()
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            self._count(scope, status, None if is_stream else time.perf_counter() - began)

    def _count(self, scope: Scope, status: int, seconds: float | None) -> None:
        # Labels of a small, closed set: an id or a path among them would make a series of each job.
        operation = getattr(scope.get("route"), "operation_id", None) or "none"
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._measures.requests.labels(operation, method, f"{status // 100}xx" if status else "none").inc()
        if seconds is None:
            self._measures.streams.dec()
        else:
            self._measures.seconds.labels(operation, method).observe(seconds)


class Scrape:
    """Everything there is to tell at one moment: the counters of this process, and what the store holds."""

    def __init__(self, measures: Measures, store: Store) -> None:
        self._measures = measures
        self._store = store

    def collect(self) -> "Iterator[Metric]":
        """Everything there is to tell, read now, as prometheus_client asks for it. While the database is away: the counters, and
        `ridgeline_up` 0."""
        yield from self._measures.registry.collect()
        try:
            found = gauges.read(self._store)
        except OperatorError:
            yield _gauge("ridgeline_up", "Whether a part that the service needs answers.", ("part",), {("store",): 0})
            return
        yield _gauge("ridgeline_up", "Whether a part that the service needs answers.", ("part",), {("store",): 1})
        yield from _of(found)


def exposition(accept: str, scrape: Scrape) -> tuple[bytes, str]:
    """The text of a scrape and its media type: OpenMetrics where the scraper asks for that, else Prometheus' own."""
    from prometheus_client.exposition import choose_encoder

    encode, media_type = choose_encoder(accept)
    return encode(scrape), media_type


def _of(found: gauges.Gauges) -> "Iterator[Metric]":
    yield _gauge("ridgeline_jobs", "Jobs by state.", ("state",), {(state,): count for state, count in found.jobs.items()})
    waiting: dict[tuple[str, ...], gauges.Waiting] = {(queue.device,): queue for queue in found.waiting}
    yield _gauge(
        "ridgeline_queue_jobs", "Jobs that wait, by the device they ask for.", ("device",), {k: q.jobs for k, q in waiting.items()}
    )
    oldest = {key: queue.oldest_seconds for key, queue in waiting.items()}
    yield _gauge("ridgeline_queue_oldest_seconds", "How long the first of them has waited.", ("device",), oldest)
    fresh: dict[tuple[str, ...], float] = {(state, str(is_fresh).lower()): count for (state, is_fresh), count in found.workers.items()}
    yield _gauge("ridgeline_workers", "Workers by state, and whether heard of lately.", ("state", "fresh"), fresh)
    for name, told, count in (
        ("ridgeline_running_lease_expired", "Jobs whose lease has ended and that nobody has put back. 0.", found.running_lease_expired),
        ("ridgeline_queued_unclaimed", "Jobs left waiting although a worker that fits is idle. 0.", found.queued_unclaimed),
        ("ridgeline_succeeded_without_result", "Jobs of the last day that succeeded without one. 0.", found.succeeded_without_result),
        ("ridgeline_checkpoint_missing", "Jobs that have not ended and whose last checkpoint is not kept. 0.", found.checkpoint_missing),
        ("ridgeline_checkpoints_unpurged", "Checkpoints not kept whose bytes are still to be removed.", found.checkpoints_unpurged),
        ("ridgeline_webhook_deliveries_due", "Messages that should have been sent by now.", found.deliveries_due),
        ("ridgeline_webhook_oldest_due_seconds", "Since when the first of them is due.", found.oldest_due_seconds),
        ("ridgeline_webhook_deliveries_dead", "Messages of the last two days that are not tried again.", found.deliveries_dead),
    ):
        yield _gauge(name, told, (), {(): count})


def _gauge(name: str, told: str, labels: tuple[str, ...], values: dict[tuple[str, ...], float]) -> "GaugeMetricFamily":
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(name, told, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family

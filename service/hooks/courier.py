"""When messages to webhooks are sent: in a thread beside the reconciler, each message in one of its own, a few at once."""

import threading

import structlog

from contract.errors import ConfigurationError, OperatorError, StoreUnavailableError
from contract.settings import Settings
from contract.store import Store, deliveries
from contract.store.deliveries import Delivery, Parcel
from contract.webhooks import DeliveryState, Outcome
from service.hooks import guard, signing
from service.hooks.guard import RefusedError, Resolve, Target

AT_ONCE = 8
"""Messages under way in one process; one webhook never has more than one of them."""
CHECKS_AT_ONCE = 8
"""URLs that clients have looked at in one process. A name server that is slow to answer for theirs holds a thread for each of them, of the
forty that serve most requests."""
_PRUNE_ROUNDS = 600
_HEADERS = {"Content-Type": "application/json", "User-Agent": "Ridgeline-Webhooks/1", "Accept-Encoding": "identity"}

log = structlog.get_logger(__name__)


class Courier:
    """Sends what is due. Any number of processes may run one: the store gives each message to one of them."""

    def __init__(self, store: Store, settings: Settings, stopping: threading.Event, resolve: Resolve = guard.resolved) -> None:
        self._store, self._settings, self._stopping, self._resolve = store, settings, stopping, resolve
        self._wake = threading.Event()
        self._under_way: set[threading.Thread] = set()
        self._lock = threading.Lock()
        self._checks = threading.BoundedSemaphore(CHECKS_AT_ONCE)
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)
        self._rounds = 0
        self._told = ""

    def start(self) -> None:
        """Send from now on what is due, in a thread that ends with the service."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Take up no more. Waits a moment for messages under way; one that is not answered by then is sent again, by whoever comes."""
        self._stopping.set()
        self._wake.set()
        self._thread.join(seconds)
        self.join(seconds)

    def join(self, seconds: float) -> None:
        """Wait for the messages under way, for at most so long."""
        with self._lock:
            waiting = list(self._under_way)
        for thread in waiting:
            thread.join(seconds / len(waiting))

    def wake(self) -> None:
        """Look for messages now: one became due."""
        self._wake.set()

    def check(self, url: str) -> Target:
        """Where a webhook of this URL, which a client asks for, leads now. Raises RefusedError where it may not, OperatorError where as many
        others are being looked at as may be."""
        if not self._checks.acquire(blocking=False):
            raise OperatorError(
                f"{CHECKS_AT_ONCE} names of webhooks are being looked up; see whether the name server of this machine answers"
            )
        try:
            return self._led(url)
        finally:
            self._checks.release()

    def round(self) -> int:
        """Begin to send what is due, as far as there is room; how many that was."""
        with self._lock:
            room = AT_ONCE - len(self._under_way)
        found = deliveries.claim(self._store, room) if room > 0 else []
        for parcel in found:
            self._begin(parcel)
        self._rounds += 1
        if self._rounds % _PRUNE_ROUNDS == 0:
            deliveries.prune(self._store)
        return len(found)

    def send(self, parcel: Parcel) -> Delivery | None:
        """Make the attempt and note what became of it; None where the delivery was deleted meanwhile."""
        outcome = self._attempt(parcel)
        noted = deliveries.note(self._store, parcel, outcome)
        if noted and noted.state is DeliveryState.DEAD:
            log.warning("webhook message given up", webhook=noted.webhook_id, message=noted.id, attempts=noted.attempts, error=noted.error)
        return noted

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                self.round()
            except StoreUnavailableError as error:
                self._tell(str(error))
            except Exception as error:
                self._tell(f"{type(error).__name__}: {error}")
            else:
                self._told = ""
            self._wake.wait(self._settings.reconcile_seconds)

    def _tell(self, message: str) -> None:
        if message != self._told:
            log.error("courier failed, it goes on trying", error=message)
        self._told = message

    def _begin(self, parcel: Parcel) -> None:
        thread = threading.Thread(target=self._carry, args=[parcel], name="courier-message", daemon=True)
        with self._lock:
            self._under_way.add(thread)
        thread.start()

    def _carry(self, parcel: Parcel) -> None:
        try:
            self.send(parcel)
        except Exception as error:
            # The lease ends, and the message is sent again.
            log.warning("webhook message not noted", webhook=parcel.webhook.id, message=parcel.delivery.id, error=type(error).__name__)
        finally:
            with self._lock:
                self._under_way.discard(threading.current_thread())
            self._wake.set()  # the webhook may have another message waiting

    def _attempt(self, parcel: Parcel) -> Outcome:
        # httpcore takes a while to import, and only a service with webhooks needs it.
        from service.hooks import post

        deadline = post.Deadline()
        try:
            signed = signing.headers(parcel.webhook, parcel.delivery, self._settings.secret_key)
            # Checked at each attempt: a name can lead elsewhere than it did when the webhook was made.
            target = self._led(parcel.webhook.url)
        except (RefusedError, ConfigurationError) as error:
            return Outcome(error=str(error), duration_ms=deadline.spent_ms)
        return post.post(target, parcel.delivery.body.encode(), _HEADERS | signed, deadline)

    def _led(self, url: str) -> Target:
        return guard.check(url, allow_private=self._settings.webhook_allow_private, resolve=self._resolve)

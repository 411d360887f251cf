"""How one message is posted: to the addresses that were checked and no others, within one deadline, reading no more than is wanted.

httpcore rather than httpx above it: no redirects, no proxies of the environment, no cookies, and a seam for who connects to what.
"""

import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, Final

import httpcore
import httpx

from contract.webhooks import Outcome
from service.hooks.guard import Address, Target

TOTAL_SECONDS: Final = 10.0
"""For everything: names, connection, handshake, request and reply."""
CONNECT_SECONDS: Final = 5.0
MAX_REPLY: Final = 64 * 1024
KEPT_REPLY: Final = 1024


class Deadline:
    """A moment after which nothing is waited for any more."""

    def __init__(self, seconds: float = TOTAL_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._began, self._seconds = clock, clock(), seconds

    @property
    def spent_ms(self) -> float:
        """Milliseconds since it began, to a tenth."""
        return round((self._clock() - self._began) * 1000, 1)

    def left(self, at_most: float | None = None) -> float:
        """Seconds left. Raises TimeoutException when there are none: however slowly a receiver trickles, the sum counts."""
        left = self._began + self._seconds - self._clock()
        if left <= 0:
            raise httpcore.TimeoutException
        return left if at_most is None else min(left, at_most)


def post(target: Target, body: bytes, headers: Mapping[str, str], deadline: Deadline, context: ssl.SSLContext | None = None) -> Outcome:
    """What the target answered, or why it did not."""
    url = httpcore.URL(scheme=target.scheme, host=target.host, port=_stated(target), target=target.path)
    try:
        backend = _Pinned(target.addresses, deadline)
        with (
            httpcore.ConnectionPool(ssl_context=context or _context(), network_backend=backend, keepalive_expiry=0.0) as pool,
            pool.stream("POST", url, headers=list(headers.items()), content=body) as response,
        ):
            return _outcome(response, deadline)
    except httpcore.TimeoutException:
        return Outcome(error=f"no whole answer within {TOTAL_SECONDS:g} s", duration_ms=deadline.spent_ms)
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
        return Outcome(error=_said(error), duration_ms=deadline.spent_ms)


class _Pinned(httpcore.NetworkBackend):
    """Connects to the addresses that were checked, whatever name is asked for."""

    def __init__(self, addresses: Iterable[Address], deadline: Deadline) -> None:
        self._addresses, self._deadline = tuple(addresses), deadline
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,  # noqa: ARG002  the name is not asked for again
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        failed: Exception = httpcore.ConnectError("no address")
        for address in self._addresses:
            try:
                stream = self._inner.connect_tcp(
                    str(address), port, self._deadline.left(timeout or CONNECT_SECONDS), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
            else:
                return _Timed(stream, self._deadline)
        raise failed


class _Timed(httpcore.NetworkStream):
    """A connection that is over when the deadline is: httpcore's own timeouts begin anew with each byte."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._inner, self._deadline = inner, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._deadline.left(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Timed(self._inner.start_tls(ssl_context, server_hostname, self._deadline.left(timeout)), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


@cache
def _context() -> ssl.SSLContext:
    return httpx.create_ssl_context()


def _stated(target: Target) -> int | None:
    """The port, where the Host header has to name it."""
    return None if target.port == {"http": 80, "https": 443}[target.scheme] else target.port


def _outcome(response: httpcore.Response, deadline: Deadline) -> Outcome:
    reply = _beginning(response)
    failed = not 200 <= response.status < 300
    return Outcome(
        status_code=response.status,
        error=_refusal(response.status) if failed else None,
        reply=reply[:KEPT_REPLY].decode(errors="replace"),
        duration_ms=deadline.spent_ms,
        retry_after_seconds=_retry_after(response) if response.status in {429, 503} else None,
    )


def _beginning(response: httpcore.Response) -> bytes:
    """As much of the reply as is read at all. A status that came has come, however the reply behind it ends."""
    reply = bytearray()
    try:
        for piece in response.iter_stream():
            reply += piece
            if len(reply) >= MAX_REPLY:
                break
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError):
        pass  # what has come of it is kept
    return bytes(reply)


def _refusal(status: int) -> str:
    if 300 <= status < 400:
        return f"the receiver answered {status}; redirects are not followed, give the webhook its new URL"
    return f"the receiver answered {status}; only 2xx counts as delivered"


def _retry_after(response: httpcore.Response) -> float | None:
    """Seconds that the receiver asks to wait, from a number or a date; None where it asks for nothing that can be read."""
    given = next((value.decode("ascii", "replace") for name, value in response.headers if name.lower() == b"retry-after"), "")
    if given.isdecimal():
        return float(given[:9])
    try:
        at = parsedate_to_datetime(given)
        return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def _said(error: Exception) -> str:
    """The error in the words of the system, where it has any."""
    return f"the connection failed: {str(error)[:200] or type(error).__name__}"

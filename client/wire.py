"""When an HTTP request is tried again, and what becomes of an answer that is no success."""

import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Any, Final

import httpx

from client.errors import AddressError, ApiError, ServerUnreachable

Json = dict[str, Any]

_TIMEOUT: Final = httpx.Timeout(30.0, connect=5.0)
_LONGEST_RETRY_AFTER: Final = 30.0
_BUSY: Final = frozenset({429, 502, 503, 504})


class Wire:
    """A connection pool to one server. Every request made through it is safe to repeat, so each is repeated when it fails."""

    def __init__(
        self, url: str, *, patience_seconds: float, sleep: Callable[[float], None] = time.sleep, api_key: str | None = None
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise AddressError(f"'{url}' is no address of a server; it begins with http:// or https://, as in http://127.0.0.1:8000")
        self.url = url.rstrip("/")
        self.patience_seconds = patience_seconds
        self.sleep = sleep
        # A proxy meant for the Internet cannot reach a server on this machine.
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self.http = httpx.Client(base_url=self.url, timeout=_TIMEOUT, trust_env=not is_loopback(self.url), headers=headers)

    def json(self, method: str, path: str, **options: Any) -> Json:
        """The object in the answer. Raises ApiError, or ServerUnreachable once patience is at its end."""
        answer = self.request(method, path, **options)
        try:
            body = answer.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise ApiError(answer.status_code, "not_ridgeline", f"{self.url} answers {method} {path} with something that is no JSON object")
        return body

    def request(self, method: str, path: str, *, patience_seconds: float | None = None, **options: Any) -> httpx.Response:
        """The first answer that is a success."""
        delays = backoff(self.patience_seconds if patience_seconds is None else patience_seconds)
        while True:
            try:
                answer = self.http.request(method, path, **options)
            except httpx.TransportError as error:
                self.pause(delays, self.unreachable(error))
                continue
            if answer.is_success:
                return answer
            self.pause(delays, refusal(answer), retry_after(answer))

    def pause(self, delays: Iterator[float], error: Exception, at_least: float | None = None) -> None:
        """Sleep before another try, or raise `error` where another try is of no use or patience is at its end."""
        if isinstance(error, ApiError) and error.status not in _BUSY and at_least is None:
            raise error
        delay = next(delays, None)
        if delay is None:
            raise error
        self.sleep(max(delay, at_least or 0.0))

    def unreachable(self, error: httpx.TransportError) -> ServerUnreachable:
        """The error that a failed connection is to the user: the address, and what the network said."""
        return ServerUnreachable(self.url, str(error) or type(error).__name__)


def backoff(patience_seconds: float) -> Iterator[float]:
    """Waits that double from 0.1 s to 5 s, until their sum would exceed the patience."""
    delay, spent = 0.1, 0.0
    while spent + delay <= patience_seconds:
        yield delay
        spent += delay
        delay = min(2 * delay, 5.0)


def refusal(answer: httpx.Response) -> ApiError:
    """The error that an answer means: its problem document (RFC 9457), or what can be told without one."""
    try:
        problem = answer.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {"detail": answer.text.strip()[:200]}
    return ApiError(
        answer.status_code,
        problem.get("code") or problem.get("status") or "http_error",
        problem.get("detail") or _failed_checks(problem) or problem.get("title") or answer.reason_phrase,
        problem.get("errors") or (),
        problem.get("request_id") or answer.headers.get("X-Request-Id"),
    )


def retry_after(answer: httpx.Response) -> float | None:
    """Seconds the server asks to wait; None where it asks for nothing, or for a date."""
    try:
        return min(float(answer.headers["Retry-After"]), _LONGEST_RETRY_AFTER)
    except (KeyError, ValueError):
        return None


def _failed_checks(readiness: Json) -> str:
    """What /readyz finds wrong, which is no problem document but a list of checks."""
    failed = (check for check in readiness.get("checks") or () if not check.get("ok"))
    return "; ".join(f"{check.get('name')}: {check.get('detail')}" for check in failed)


def is_loopback(url: str) -> bool:
    """Whether the address leads to this machine."""
    host = httpx.URL(url).host
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False

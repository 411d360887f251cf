"""However a receiver behaves, what it costs is bounded, and what it answered is noted."""

import contextlib
import ipaddress
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from service.hooks import post
from service.hooks.guard import Target
from tests.service.receiver import Receiver

HERE = ipaddress.ip_address("127.0.0.1")
SIX = ipaddress.ip_address("::1")
BRIEF = 0.3
"""Seconds; whoever waits for longer waits for ever."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and neither reads nor says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def full() -> Iterator[int]:
    """The port of a server that takes no more connections and refuses none."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port: int = listener.getsockname()[1]
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(("127.0.0.1", port))
        yield port


def target(port: int, scheme: str = "http", *addresses: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Target:
    return Target(scheme, "hooks.example.com", port, "/in", addresses or (HERE,))


@pytest.mark.parametrize(("scheme", "size"), [("http", 2), ("http", 40_000_000), ("https", 2)], ids=["answer", "reading", "handshake"])
def test_a_receiver_that_does_nothing_is_left_at_the_deadline(silent: int, scheme: str, size: int) -> None:
    outcome = post.post(target(silent, scheme), b"x" * size, {}, post.Deadline(BRIEF))
    assert (outcome.status_code, outcome.error) == (None, "no whole answer within 10 s")


def test_a_connection_that_does_not_come_about_is_left_at_the_deadline(full: int) -> None:
    assert post.post(target(full), b"{}", {}, post.Deadline(BRIEF)).error == "no whole answer within 10 s"


def test_an_address_that_hangs_gives_way_to_the_next(full: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first address is full; at the second one nobody listens, which is told."""
    monkeypatch.setattr(post, "CONNECT_SECONDS", BRIEF)
    outcome = post.post(target(full, "http", HERE, SIX), b"{}", {}, post.Deadline(30.0))
    assert "connection failed" in (outcome.error or "")


def test_a_reply_that_is_no_text_is_kept_as_far_as_it_can_be_read(receiver: Receiver) -> None:
    receiver.answers.append((500, {}, b"caf\xe9" + b"y" * 2000))
    outcome = post.post(target(receiver.port), b"{}", {}, post.Deadline())
    assert (outcome.status_code, outcome.reply) == (500, "caf\ufffd" + "y" * (post.KEPT_REPLY - 4))


@pytest.mark.parametrize(
    "answer", [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b""], ids=["words", "length", "nothing"]
)
def test_an_answer_that_is_no_http_is_an_outcome_and_no_error(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def reply() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(answer)

        thread = threading.Thread(target=reply, daemon=True)
        thread.start()
        outcome = post.post(target(listener.getsockname()[1]), b"{}", {}, post.Deadline(30.0))
        thread.join(30)
    assert (outcome.arrived, "connection failed" in (outcome.error or "")) == (False, True)


@pytest.mark.parametrize(("status", "told"), [(300, "redirects"), (399, "redirects"), (299, None), (400, "only 2xx"), (500, "only 2xx")])
def test_a_status_says_whether_the_message_arrived(receiver: Receiver, status: int, told: str | None) -> None:
    receiver.answers.append((status, {}, b""))
    outcome = post.post(target(receiver.port), b"{}", {}, post.Deadline())
    assert (outcome.status_code, outcome.arrived) == (status, told is None)
    assert told in outcome.error if told and outcome.error else outcome.error is None


NOW = datetime.now(UTC)
LATER: dict[str, tuple[str, float | None]] = {
    "seconds": ("120", 120.0),
    "at once": ("0", 0.0),
    "a date that has passed": (format_datetime(NOW - timedelta(days=1), usegmt=True), 0.0),
    "a date without a zone": ((NOW + timedelta(days=10_000)).strftime("%a, %d %b %Y %H:%M:%S -0000"), 10_000 * 86_400.0),
    "a day that is none": ("Fri, 31 Feb 2026 07:28:00 GMT", None),
    "a year that is none": ("Fri, 31 Dec 99999999999999999999 07:28:00 GMT", None),
    "a word": ("tomorrow", None),
    "nothing": ("", None),
}  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), LATER.values(), ids=LATER.keys())
def test_a_busy_receiver_is_asked_again_when_it_says_and_never_before_now(receiver: Receiver, given: str, expected: float | None) -> None:
    receiver.answers.append((429, {"retry-AFTER": given}, b""))
    found = post.post(target(receiver.port), b"{}", {}, post.Deadline()).retry_after_seconds
    assert found == (None if expected is None else pytest.approx(expected, rel=0.01))


def test_the_host_is_named_with_its_port_only_where_that_is_not_the_schemes_own() -> None:
    """Receivers that compare the header with their own name do so without it."""
    assert [post._stated(target(port, scheme)) for scheme, port in (("https", 443), ("http", 80), ("https", 80), ("http", 443))] == [
        None, None, 80, 443,
    ]  # fmt: skip

"""A message goes to the address that was checked, under the name that was meant, and costs no more time and memory than it may."""

import contextlib
import ipaddress
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import standardwebhooks
from sqlalchemy import update

from contract import ids
from contract.settings import Settings
from contract.spec import JobSpec
from contract.store import Store, deliveries, jobs, tables, webhooks
from contract.webhooks import Outcome
from service.hooks import post, signing
from service.hooks.courier import Courier
from service.hooks.guard import Target
from tests.service.receiver import Receiver

HERE = ipaddress.ip_address("127.0.0.1")
NOWHERE = ipaddress.ip_address("127.0.0.9")
NAME = "hooks.example.com"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


def target(port: int, scheme: str = "http", host: str = NAME, *addresses: ipaddress.IPv4Address) -> Target:
    return Target(scheme, host, port, "/in", addresses or (HERE,))


def send(to: Target, seconds: float = 30.0, context: ssl.SSLContext | None = None) -> Outcome:
    return post.post(to, b"{}", {"webhook-id": "evt_1"}, post.Deadline(seconds), context)


def test_the_connection_goes_to_the_address_that_was_checked_and_names_the_host(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a name was asked for again")

    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: real(host, *rest, **more) if host == str(HERE) else never())
    assert send(target(receiver.port)).arrived
    (message,) = receiver.messages
    assert (message.headers["host"], message.path, message.body) == (f"{NAME}:{receiver.port}", "/in", b"{}")


def test_an_address_that_does_not_answer_gives_way_to_the_next(receiver: Receiver) -> None:
    assert send(target(receiver.port, "http", NAME, NOWHERE, HERE)).arrived


def test_nobody_there_is_an_outcome_and_no_error(receiver: Receiver) -> None:
    outcome = send(target(receiver.port, "http", NAME, NOWHERE))
    assert (outcome.status_code, outcome.arrived, "connection failed" in (outcome.error or "")) == (None, False, True)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for NAME, signed by itself, with its key."""
    folder = tmp_path_factory.mktemp("certificate")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command += ["-keyout", "key.pem", "-out", "cert.pem", "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.mark.parametrize(("host", "trusted"), [(NAME, True), ("other.example.com", False)])
def test_the_certificate_must_be_the_hosts_though_the_connection_goes_to_an_address(
    certificate: Path, receiver: Receiver, host: str, trusted: bool
) -> None:
    server, names = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), []
    server.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    server.sni_callback = lambda _socket, name, _context: names.append(name)
    receiver._server.socket = server.wrap_socket(receiver._server.socket, server_side=True)
    outcome = send(target(receiver.port, "https", host), context=ssl.create_default_context(cafile=str(certificate / "cert.pem")))
    assert (outcome.arrived, names) == (trusted, [host])
    if not trusted:
        assert "CERTIFICATE_VERIFY_FAILED" in str(outcome.error)
        assert receiver.messages == []


def test_a_certificate_that_nobody_vouches_for_is_refused(certificate: Path, receiver: Receiver) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    receiver._server.socket = server.wrap_socket(receiver._server.socket, server_side=True)
    assert not send(target(receiver.port, "https")).arrived
    assert receiver.messages == []


def test_a_reply_without_end_is_read_to_its_bound(receiver: Receiver) -> None:
    receiver.answers.append((200, {}, b"x" * 50_000_000))
    outcome = send(target(receiver.port))
    assert (outcome.arrived, len(outcome.reply or "")) == (True, post.KEPT_REPLY)


def test_a_receiver_that_trickles_is_left_at_the_deadline() -> None:
    """Each byte comes in time; their sum does not. The clock moves with each look at it, so that nothing is waited for."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = threading.Event()

        def trickle() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                with contextlib.suppress(OSError):
                    while not done.wait(0.001):
                        connection.sendall(b"x")

        threading.Thread(target=trickle, daemon=True).start()
        ticks = iter(range(10_000))
        deadline = post.Deadline(20.0, clock=lambda: float(next(ticks)))
        outcome = post.post(target(listener.getsockname()[1]), b"{}", {}, deadline)
        done.set()
    assert (outcome.status_code, outcome.error) == (None, "no whole answer within 10 s")


def test_a_time_that_is_up_ends_every_wait() -> None:
    ticks = iter([0.0, 1.0, 10.0])
    deadline = post.Deadline(10.0, clock=lambda: next(ticks))
    assert deadline.left() == 9.0
    with pytest.raises(post.httpcore.TimeoutException):
        deadline.left()


def test_a_retry_after_can_be_a_date(receiver: Receiver) -> None:
    receiver.answers.append((503, {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)}, b""))
    assert 3000 < (send(target(receiver.port)).retry_after_seconds or 0) <= 3600
    receiver.answers.append((500, {"Retry-After": "60"}, b""))
    assert send(target(receiver.port)).retry_after_seconds is None


_KILLED = """
import os, signal, sys
from contract.settings import Settings
from contract.store import Store, deliveries
from service.hooks.courier import Courier
import threading
store = Store(sys.argv[1])
deliveries.note = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
(parcel,) = deliveries.claim(store, 1)
Courier(store, Settings(webhook_allow_private=True), threading.Event()).send(parcel)
"""


def subscribed(store: Store, url: str) -> str:
    """A webhook with one message due; its secret."""
    webhook_id = ids.webhook()
    stored, secret = signing.new(webhook_id, None)
    webhooks.add(store, "default", webhook_id, stored, url=url, events=["job.queued"], enabled=True, description=None)
    jobs.submit(store, "default", JobSpec.model_validate({"dataset": {"kind": "fake"}}))
    return secret


def test_a_sender_killed_between_the_answer_and_the_note_of_it_is_followed_by_one_that_sends_the_same_again(
    sqlite_store: Store, sqlite_url: str, receiver: Receiver
) -> None:
    secret = subscribed(sqlite_store, receiver.url)
    root = Path(__file__).parents[2]
    killed = subprocess.run([sys.executable, "-c", _KILLED, sqlite_url], cwd=root, env=os.environ | {"PYTHONPATH": str(root)}, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert deliveries.claim(sqlite_store, 1) == []
    with sqlite_store.write() as connection:
        connection.execute(update(tables.webhooks).values(lease_until=0.0))
    courier = Courier(sqlite_store, Settings(webhook_allow_private=True), threading.Event())
    assert courier.round() == 1
    courier.join(30)
    first, second = receiver.messages
    assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)
    for message in (first, second):
        standardwebhooks.Webhook(secret).verify(message.body, message.headers)
    assert deliveries.claim(sqlite_store, 1) == []


def test_of_many_who_claim_at_once_one_gets_the_message(store: Store) -> None:
    subscribed(store, "https://example.com/")
    found: list[deliveries.Parcel] = []
    together = threading.Barrier(4)

    def claim() -> None:
        together.wait(30)
        found.extend(deliveries.claim(store, 8))

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    (parcel,) = found
    late = Outcome(status_code=500, error="late")
    with store.write() as connection:
        connection.execute(update(tables.webhooks).values(lease_until=0.0))
    (taken_over,) = deliveries.claim(store, 8)
    assert (deliveries.note(store, parcel, late) or parcel.delivery).error is None
    assert deliveries.claim(store, 8) == []
    noted = deliveries.note(store, taken_over, Outcome(status_code=200, reply="a\x00b"))
    assert noted is not None
    assert (noted.state, noted.attempts, noted.reply) == ("delivered", 2, "a\ufffdb")
    again = deliveries.redeliver(store, webhooks.get(store, "default", parcel.webhook.id), noted.id)
    assert (again.state, again.attempts_before) == ("pending", 2)


def test_the_command_of_the_documentation_makes_the_signature(tmp_path: Path, receiver: Receiver, sqlite_store: Store) -> None:
    secret = subscribed(sqlite_store, receiver.url)
    courier = Courier(sqlite_store, Settings(webhook_allow_private=True), threading.Event())
    courier.round()
    courier.join(30)
    (message,) = receiver.messages
    told = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
    (script,) = re.findall(r"```bash\n(key=.*?)```", told, flags=re.DOTALL)
    (tmp_path / "body.json").write_bytes(message.body)
    known = {name.replace("-", "_"): message.headers[name] for name in ("webhook-id", "webhook-timestamp")} | {"secret": secret}
    done = subprocess.run(["bash", "-ec", script], cwd=tmp_path, env=os.environ | known, capture_output=True, text=True, check=True)
    assert f"v1,{done.stdout.strip()}" == message.headers["webhook-signature"]

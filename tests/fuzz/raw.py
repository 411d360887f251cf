"""Bytes that are no HTTP, or hardly: each is answered with a Problem or cut off, and the server goes on."""

import contextlib
import json
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from service.__main__ import Server, bound
from tests.fuzz import rig

_HEAD: Final = b"Host: test\r\nConnection: close\r\n"
_JSON: Final = _HEAD + b"Content-Type: application/json\r\n"
CORPUS: Final[dict[str, bytes]] = {
    "no request": b"hello\r\n\r\n",
    "bytes": bytes(range(256)) + b"\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64 + b"\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no version": b"GET /healthz\r\n\r\n",
    "a version of the future": b"GET /healthz HTTP/9.9\r\n" + _HEAD + b"\r\n",
    "no host": b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n",
    "two hosts": b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a space in the path": b"GET /v1/jobs /x HTTP/1.1\r\n" + _HEAD + b"\r\n",
    "a NUL in the path": b"GET /v1/\x00jobs HTTP/1.1\r\n" + _HEAD + b"\r\n",
    "a path that is not ASCII": "GET /v1/jöbs HTTP/1.1\r\n".encode() + _HEAD + b"\r\n",
    "a long path": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n" + _HEAD + b"\r\n",
    "a long header": b"GET /healthz HTTP/1.1\r\n" + _HEAD + b"X: " + b"a" * 200_000 + b"\r\n\r\n",
    "many headers": b"GET /healthz HTTP/1.1\r\n" + _HEAD + b"X: a\r\n" * 20_000 + b"\r\n",
    "a folded header": b"GET /healthz HTTP/1.1\r\n" + _HEAD + b"X: a\r\n b\r\n\r\n",
    "a header without a colon": b"GET /healthz HTTP/1.1\r\n" + _HEAD + b"nothing\r\n\r\n",
    "a header of control characters": b"GET /healthz HTTP/1.1\r\n" + _HEAD + b"X: \x01\x02\r\n\r\n",
    "a length that is no number": b"POST /v1/jobs HTTP/1.1\r\n" + _JSON + b"Content-Length: ten\r\n\r\n{}",
    "a negative length": b"POST /v1/jobs HTTP/1.1\r\n" + _JSON + b"Content-Length: -1\r\n\r\n{}",
    "two lengths": b"POST /v1/jobs HTTP/1.1\r\n" + _JSON + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a vast length": b"POST /v1/jobs HTTP/1.1\r\n" + _JSON + b"Content-Length: 99999999999999999999\r\n\r\n{}",
    "a length and chunks": b"POST /v1/jobs HTTP/1.1\r\n"
    + _JSON
    + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "chunks of no size": b"POST /v1/jobs HTTP/1.1\r\n" + _JSON + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "an unknown coding": b"POST /v1/jobs HTTP/1.1\r\n" + _JSON + b"Transfer-Encoding: gzip\r\n\r\n{}",
    "an unknown method": b"BREW /v1/jobs HTTP/1.1\r\n" + _HEAD + b"\r\n",
    "a method of signs": b"G@T /v1/jobs HTTP/1.1\r\n" + _HEAD + b"\r\n",
    "CONNECT": b"CONNECT 127.0.0.1:22 HTTP/1.1\r\n" + _HEAD + b"\r\n",
    "a whole address": b"GET http://elsewhere/v1/jobs HTTP/1.1\r\n" + _HEAD + b"\r\n",
    "a star": b"OPTIONS * HTTP/1.1\r\n" + _HEAD + b"\r\n",
    "no slash": b"GET v1/jobs HTTP/1.1\r\n" + _HEAD + b"\r\n",
    "dots": b"GET /v1/../../../../etc/passwd HTTP/1.1\r\n" + _HEAD + b"\r\n",
    "a websocket": b"GET /v1/jobs HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    "an upgrade": b"GET /healthz HTTP/1.1\r\nHost: test\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n",
    "a body with GET": b"GET /v1/jobs HTTP/1.1\r\n" + _JSON + b"Content-Length: 2\r\n\r\n{}",
    "a text": b"POST /v1/jobs HTTP/1.1\r\n" + _HEAD + b"Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}",
    "a charset": b"POST /v1/jobs HTTP/1.1\r\n" + _HEAD + b"Content-Type: application/json; charset=utf-7\r\nContent-Length: 3\r\n\r\n+AG",
    "a compressed body": b"POST /v1/jobs HTTP/1.1\r\n" + _JSON + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b",
    "deep lists": b"POST /v1/jobs HTTP/1.1\r\n" + _JSON + b"Content-Length: 100000\r\n\r\n" + b"[" * 100_000,
    "a body too large": b"POST /v1/jobs HTTP/1.1\r\n" + _JSON + b"Content-Length: 1048577\r\n\r\n" + b" " * 1_048_577,
    "a request and rubbish": b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n\x00\x01\x02\r\n\r\n",
}


@contextmanager
def served(folder: Path, key: str | None = rig.KEY) -> Iterator[int]:
    """A real server on a free port of loopback, in a thread of this process; its port."""
    settings = rig.app(folder, key).state.settings.model_copy(update={"port": 0})
    listener = bound(settings)
    server = Server(settings, listener)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(20)


def answer(port: int, request: bytes, seconds: float = 20.0) -> bytes:
    """All that is answered until the server closes, which it is asked to do; empty where it only closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        try:
            connection.sendall(request)
            with contextlib.suppress(OSError):  # closed from there already; what was said before can still be read
                connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))
        except (ConnectionResetError, BrokenPipeError):
            return b""  # cut off while we still spoke


def wrong(reply: bytes) -> str | None:
    """What is wrong with an answer; None where it is one that may be: nothing, a success, or a Problem below 500."""
    if not reply:
        return None
    head, _, body = reply.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    if status >= 500:
        return f"answered {status}"
    if status < 400:
        return None
    if b"application/problem+json" not in head.lower():
        return f"answered {status} without a Problem: {head!r}"
    # The first of what may be several: bytes after a request that can be read are taken for the next one.
    told = json.JSONDecoder().raw_decode(body[body.index(b"{") :].decode())[0] if b"{" in body else {"status": status}
    return None if told["status"] == status else f"answered {status} and told {told['status']}"


def mutated(random_: random.Random) -> bytes:
    """One of the corpus with some of its bytes changed, left out, doubled or exchanged for another's."""
    whole = bytearray(random_.choice([request for request in CORPUS.values() if len(request) < 2000]))
    for _ in range(random_.randint(1, 8)):
        at = random_.randrange(len(whole)) if whole else 0
        match random_.randrange(4):
            case 0:
                whole[at : at + 1] = bytes([random_.randrange(256)])
            case 1:
                del whole[at : at + random_.randint(1, 8)]
            case 2:
                whole[at:at] = whole[at : at + random_.randint(1, 32)]
            case _:
                whole[at:at] = random_.choice([b"\r\n", b"\x00", b"%00", b": ", b"\xff", b"HTTP/1.1", b"Content-Length: 5\r\n"])
    return bytes(whole)

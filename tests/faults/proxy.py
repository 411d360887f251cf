"""A wire to PostgreSQL that can be cut in the moment of a COMMIT: before the server hears it, or before the client hears the answer."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Self

from sqlalchemy import make_url

_LENGTH = struct.Struct("!I")
_READY = b"Z"


class Cut(StrEnum):
    """When the wire is cut. The client sees the same each time: the connection is gone, and the outcome unknown."""

    BEFORE = "before"
    """The server never hears the COMMIT, and rolls back."""
    AMIDST = "amidst"
    """The server hears the COMMIT at the moment when the wire is cut."""
    AFTER = "after"
    """The server has committed and has said so; the client does not hear it."""


class Proxy:
    """Listens on loopback and passes everything on to the server at `url`, message by message.

    `decide` is asked at each COMMIT whether to cut, and when; it is called from many threads.
    """

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        folder = parsed.query["host"]
        assert isinstance(folder, str)
        self._server = f"{folder}/.s.PGSQL.{parsed.query.get('port', parsed.port or 5432)}"
        self._listener = socket.create_server(("127.0.0.1", 0))
        query = {"sslmode": "disable", "gssencmode": "disable"}
        self.url = parsed.set(host="127.0.0.1", port=self._listener.getsockname()[1], query=query).render_as_string(hide_password=False)
        self.decide: Callable[[], Cut | None] = lambda: None
        self.cuts: list[Cut] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._listen, name="proxy", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # A thread in accept() is not woken by close() alone.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[client], name="proxy-wire", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(self._server)
        except OSError:
            client.close()
            return
        deaf = threading.Event()
        answered = threading.Event()
        threading.Thread(target=self._answer, args=[server, client, deaf, answered], name="proxy-back", daemon=True).start()
        try:
            self._ask(client, server, deaf, answered)
        finally:
            _close(client, server)

    def _ask(self, client: socket.socket, server: socket.socket, deaf: threading.Event, answered: threading.Event) -> None:
        """From the client to the server, until one of them is gone or the wire is cut."""
        for message in _messages(client, begins=True):
            cut = self.decide() if _is_commit(message) else None
            if cut:
                self.cuts.append(cut)
                deaf.set()
                answered.clear()
            if cut is Cut.BEFORE:
                return
            with contextlib.suppress(OSError):
                server.sendall(message)
            if cut is Cut.AFTER:
                answered.wait(10)
            if cut:
                return

    def _answer(self, server: socket.socket, client: socket.socket, deaf: threading.Event, answered: threading.Event) -> None:
        """From the server to the client, who hears nothing any more once it is `deaf`."""
        for message in _messages(server, begins=False):
            if deaf.is_set():
                if message[:1] == _READY:
                    answered.set()
                continue
            try:
                client.sendall(message)
            except OSError:
                break
        answered.set()
        _close(client, server)


def _is_commit(message: bytes) -> bool:
    """Whether a client says COMMIT, as a simple query (`Q`) or as a statement to prepare (`P`)."""
    return message[:1] in {b"Q", b"P"} and b"COMMIT" in message.upper()[5:20]


def _messages(source: socket.socket, *, begins: bool) -> Iterator[bytes]:
    """Each message whole: a type of one byte, except for a client's first, and a length that counts itself."""
    with source.makefile("rb") as stream, contextlib.suppress(OSError, ValueError):
        while True:
            head = stream.read(4 if begins else 5)
            if len(head) < (4 if begins else 5):
                return
            body = stream.read(_LENGTH.unpack(head[-4:])[0] - 4)
            begins = False
            yield head + body


def _close(*wires: socket.socket) -> None:
    for wire in wires:
        with contextlib.suppress(OSError):
            wire.shutdown(socket.SHUT_RDWR)
        wire.close()

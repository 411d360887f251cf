"""A broker with a gate before it, which can be open, shut (connections are refused) or a hole (it accepts and never answers)."""

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from enum import StrEnum
from pathlib import Path
from typing import Self

from redis import Redis
from redis.exceptions import RedisError

from client import broker
from contract import queue


class Gate(StrEnum):
    """What becomes of who wants to reach the broker."""

    OPEN = "open"
    SHUT = "shut"
    """As with a broker that is not there: connections are refused, and those that were open are cut."""
    HOLE = "hole"
    """As with a network that swallows packets: connections are taken and stay, and nothing is ever heard on them."""


class Broker:
    """A Valkey server of the test's own, reached on a port of loopback through a gate."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: subprocess.Popen[bytes] | None = None
        self._gate = Gate.SHUT
        self._listener: socket.socket | None = None
        self._passing: list[socket.socket] = []
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def redis(self) -> Redis:
        """Straight to the server, whatever the gate."""
        return Redis(unix_socket_path=str(self._folder / "s"))

    def is_listened_to(self) -> bool:
        """Whether a worker waits for a message."""
        return any(client["cmd"] == "brpop" for client in self.redis().client_list())

    def start(self) -> None:
        """Start the server, again after a kill; returns once it answers."""
        command = [broker.find_program(), "--port", "0", "--unixsocket", str(self._folder / "s"), "--dir", str(self._folder), "--save", ""]
        self._server = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        while True:
            with contextlib.suppress(RedisError):
                if self.redis().ping():
                    return
            time.sleep(0.02)

    def kill(self) -> None:
        assert self._server is not None
        os.kill(self._server.pid, signal.SIGKILL)
        self._server.wait()

    def set(self, gate: Gate) -> None:
        """Open it, shut it, or have it swallow everything, on old connections and new ones."""
        self._gate = gate
        if gate is Gate.SHUT and self._listener:
            # Not close alone: a thread that waits in accept would keep the port open.
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        if gate is not Gate.SHUT and self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        # Through a hole that opens again nothing comes either: what it swallowed is lost, and with it the connection.
        if gate is not Gate.HOLE:
            self._cut()

    def close(self) -> None:
        self.set(Gate.SHUT)
        self.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _cut(self) -> None:
        while self._passing:
            one = self._passing.pop()
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                incoming, _ = listener.accept()
                outgoing = socket.socket(socket.AF_UNIX)
                self._passing += [incoming, outgoing]
                try:
                    outgoing.connect(str(self._folder / "s"))
                except OSError:
                    incoming.close()
                    continue
                for source, target in ((incoming, outgoing), (outgoing, incoming)):
                    threading.Thread(target=self._pass, args=(source, target), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while content := source.recv(65_536):
                if self._gate is Gate.OPEN:
                    target.sendall(content)
            if self._gate is Gate.OPEN:
                target.shutdown(socket.SHUT_RDWR)


class Thief:
    """Takes every message out of the broker before a worker can hear it, for as long as the block lasts."""

    def __init__(self, redis: Redis) -> None:
        self._redis, self._stopping = redis, threading.Event()
        self._thread = threading.Thread(target=self._take, daemon=True)
        self.taken = 0

    def __enter__(self) -> "Thief":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _take(self) -> None:
        while not self._stopping.is_set():
            # Waiting, as the worker does: who has waited longest is served, and the worker asks anew each second.
            self.taken += self._redis.blpop([queue.QUEUE], timeout=3) is not None

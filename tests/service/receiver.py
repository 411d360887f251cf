"""A receiver of webhooks over real HTTP, which answers as it is told to."""

import threading
from collections import deque
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Message:
    """One request, as it came."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """A server on loopback. What it gets is in `messages`."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.answers: deque[tuple[int, dict[str, str], bytes]] = deque()
        """Status, headers and body of the coming answers; 204 when there is none."""
        self.hold = threading.Event()
        """No answer is given before it is set."""
        self.hold.set()
        self.came = threading.Semaphore(0)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hooks?from=ridgeline"

    def __enter__(self) -> "Receiver":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.messages.append(Message(self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            receiver.came.release()
            receiver.hold.wait(30)
            status, headers, reply = receiver.answers.popleft() if receiver.answers else (204, {}, b"")
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(reply))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler

"""How the trainer talks: one JSON line per event on a private copy of stdout, one JSON line per order on stdin."""

import os
import sys
from queue import SimpleQueue
from threading import Thread

from pydantic import ValidationError

from contract import events
from worker import orders


class Unreadable:
    """A line that is no order."""


Inbox = SimpleQueue[orders.Order | Unreadable]


class Voice:
    """Says events to the supervisor."""

    def __init__(self) -> None:
        # Whatever a library prints goes to stderr from here on, so that it cannot break a line of ours.
        self._descriptor = os.dup(1)
        os.dup2(2, 1)
        sys.stdout = sys.stderr

    def say(self, event: events.Event) -> None:
        """Writes one whole line. Ends the process if nobody listens any more."""
        rest = memoryview(events.to_line(event).encode() + b"\n")
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except BrokenPipeError:
            os._exit(0)


def listen() -> Inbox:
    """A queue that a thread fills with the orders on stdin. The end of stdin ends the process at once, in mid-job too."""
    inbox: Inbox = SimpleQueue()
    Thread(target=_listen, args=(inbox,), name="orders", daemon=True).start()
    return inbox


def log(message: str) -> None:
    """A plain line for the worker's log."""
    print(f"trainer {os.getpid()}: {message}", file=sys.stderr, flush=True)  # noqa: T201


def _listen(inbox: Inbox) -> None:
    for line in sys.stdin.buffer:
        try:
            inbox.put(orders.from_line(line))
        except ValidationError as error:
            # Places and kinds of fault only: the values are the user's.
            faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['type']}" for fault in error.errors()[:5])
            log(f"cannot read an order: {faults}")
            inbox.put(Unreadable())
    os._exit(0)

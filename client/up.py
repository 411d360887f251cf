"""How a stack ends when its terminal or its operator says so: in order on the first signal, at once on the second."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Final

from client.stack import Stack

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def serve(stack: Stack, ready: Callable[[str], None]) -> None:
    """Start the stack, call `ready` with its URL once it is, and return after a signal, with everything stopped.

    Raises StackError where it does not become ready.
    """
    with ended_by_signals(stack), stack:
        ready(stack.url)
        stack.wait()


@contextmanager
def ended_by_signals(stack: Stack) -> Iterator[None]:
    """Within this, the first signal leaves the block (and `with stack` stops it), any later one hastens the stopping."""

    asked = False

    def hear(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if _is_within(frame, hear.__code__):
            stack.hasten()  # the other signal, of which nothing was done yet, may be lost by what is raised here
        if asked or stack.is_stopping:
            stack.hasten()
            return
        asked = True
        stack.say(f"{signal.Signals(number).name}: stopping; a job that runs first writes its checkpoint. Again to stop at once")
        raise _Asked

    before = {number: signal.signal(number, hear) for number in _SIGNALS}
    try:
        yield
    except _Asked:
        return
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_within(frame: FrameType | None, code: CodeType) -> bool:
    """Whether what was interrupted was called, however indirectly, by a function with this code."""
    while frame is not None:
        if frame.f_code is code:
            return True
        frame = frame.f_back
    return False


class _Asked(BaseException):
    """Not an Exception, as KeyboardInterrupt is not: no handler of errors on the way may swallow it."""

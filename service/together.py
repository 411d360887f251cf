"""How callers that come at the same time are served at once: one thread takes all that wait, and answers each when all is done."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from contract.errors import OperatorError

Q = TypeVar("Q")
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Q, A]):
    question: Q
    loop: asyncio.AbstractEventLoop
    answer: "asyncio.Future[A]"


class Together(Generic[Q, A]):
    """Answers many questions with one deed. Nobody waits for company: what comes while a deed is under way is the next one."""

    def __init__(self, deed: Callable[[Sequence[Q]], Sequence[A | Exception]], most: int, name: str) -> None:
        """`deed` gives each of up to `most` questions its answer or its error, in order, or raises what is then told to all."""
        self._deed, self._most = deed, most
        self._waiting: queue.SimpleQueue[_Waiting[Q, A] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Write from now on; who asked before is answered first."""
        self._thread.start()

    async def ask(self, question: Q) -> A:
        """The answer, once the deed is done. Raises what it gave as an error, and OperatorError once `stop` was called."""
        loop = asyncio.get_running_loop()
        waiting: _Waiting[Q, A] = _Waiting(question, loop, loop.create_future())
        with self._lock:
            if self._is_closed:
                raise OperatorError("the service is stopping; ask again in a moment")
            self._waiting.put(waiting)
        return await waiting.answer

    def stop(self, seconds: float) -> None:
        """Take no more questions, and wait for the answers to those that were asked; a deed that hangs ends with the process."""
        with self._lock:
            self._is_closed = True
            self._waiting.put(None)
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _run(self) -> None:
        is_last = False
        while not is_last:
            group, is_last = self._next()
            if group:
                _tell(group, self._done(group))

    def _next(self) -> tuple[list[_Waiting[Q, A]], bool]:
        """What waits, once something does, and whether nothing comes after it."""
        group: list[_Waiting[Q, A]] = []
        with contextlib.suppress(queue.Empty):
            while len(group) < self._most:
                one = self._waiting.get(block=not group)
                if one is None:
                    return group, True
                group.append(one)
        return group, False

    def _done(self, group: Sequence[_Waiting[Q, A]]) -> Sequence[A | Exception]:
        try:
            return self._deed([each.question for each in group])
        except Exception as error:
            return [error] * len(group)


def _tell(group: Sequence[_Waiting[Q, A]], answers: Sequence[A | Exception]) -> None:
    """Hand the answers to the loops that wait: one message to each loop, since to wake it costs more than to answer."""
    for loop in {id(each.loop): each.loop for each in group}.values():
        mine = [(each.answer, answer) for each, answer in zip(group, answers, strict=True) if each.loop is loop]
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            loop.call_soon_threadsafe(_settle, mine)


def _settle(answers: "Sequence[tuple[asyncio.Future[A], A | Exception]]") -> None:
    for future, answer in answers:
        if future.done():
            continue  # its client left meanwhile
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)

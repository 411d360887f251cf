"""A deed done beside the work, in a thread that can be left behind: one that carries bytes may hang as long as a disk does."""

from collections.abc import Callable
from threading import Event, Thread
from typing import Generic, TypeVar

T = TypeVar("T")


class Carrier(Generic[T]):
    """Begins the deed at once. A daemon: the process ends without it."""

    def __init__(self, deed: Callable[[], T]) -> None:
        self._deed = deed
        self._brought: list[T] = []
        self._error: BaseException | None = None
        self._done = Event()
        Thread(target=self._run, name="carrier", daemon=True).start()

    def is_done(self, within_seconds: float) -> bool:
        """Whether the deed has come to its end, waited for so long."""
        return self._done.wait(within_seconds)

    def brought(self) -> T:
        """What the deed gave, once it is done. Raises what it raised."""
        if self._error:
            raise self._error
        return self._brought[0]

    def _run(self) -> None:
        try:
            self._brought.append(self._deed())
        except BaseException as error:
            self._error = error
        finally:
            self._done.set()

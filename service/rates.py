"""How often one caller may ask: a bucket of tokens for each, in this process's memory."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from service.errors import RateLimitedError

MOST_KNOWN: Final = 10_000
"""Callers remembered at once; beyond it the one not heard of for longest is forgotten, and begins anew."""
_SECONDS: Final = {"second": 1, "minute": 60, "hour": 3600}


class Limiter:
    """So many requests in a window, for each caller alone. Every process counts for itself."""

    def __init__(self, policy: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        """`policy` as in `600/minute`; None for no limit."""
        count, _, window = (policy or "0/second").partition("/")
        self._most, self._window = int(count), _SECONDS[window]
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def spend(self, who: str) -> None:
        """Take a token. Raises RateLimitedError, which says when there is one, where there is none."""
        if not self._most:
            return
        tokens, now = self._tokens(who)
        if tokens < 1:
            wait = math.ceil((1 - tokens) * self._window / self._most)
            raise RateLimitedError(f"{self._most} requests in {self._window} seconds are allowed; try again in {wait} s", wait)
        self._buckets[who] = (tokens - 1, now)
        self._buckets.move_to_end(who)
        while len(self._buckets) > MOST_KNOWN:
            self._buckets.popitem(last=False)

    def headers(self, who: str) -> dict[str, str]:
        """What is allowed, how much of it is left, and in how many seconds all of it is there again; empty without a limit."""
        if not self._most:
            return {}
        tokens, _ = self._tokens(who)
        full_in = math.ceil((self._most - tokens) * self._window / self._most)
        return {"RateLimit-Policy": f'"default";q={self._most};w={self._window}', "RateLimit": f'"default";r={int(tokens)};t={full_in}'}

    def _tokens(self, who: str) -> tuple[float, float]:
        now = self._clock()
        tokens, at = self._buckets.get(who, (float(self._most), now))
        return min(float(self._most), tokens + (now - at) * self._most / self._window), now

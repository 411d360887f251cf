"""How one part of the stack runs: tied to this process, in a group of its own, with its log in a file."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from client import tether

_LONGEST_LOG: Final = 5_000_000
LONGEST_WAIT_SECONDS: Final = 30.0
"""Between the death of a part that dies again and again and its next start."""
_STEADY_SECONDS: Final = 60.0
"""A part that ran so long is not in a crash loop: its next death is its first."""


class Part:
    """A program that is kept running until it is told to stop."""

    def __init__(
        self, name: str, command: list[str], log: Path, *, environment: Mapping[str, str], stop_seconds: float,
        longest_wait_seconds: float = LONGEST_WAIT_SECONDS,
    ) -> None:  # fmt: skip
        """`stop_seconds` is how long it may take to end after SIGTERM before it is killed."""
        self.name = name
        self.command = command
        self.log = log
        self.environment = environment
        self.stop_seconds = stop_seconds
        self.longest_wait_seconds = longest_wait_seconds
        self.deaths = 0
        """In a row, without a steady run between them."""
        self.process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._again_at = 0.0

    def start(self) -> None:
        """Run the command. The thread that calls this must outlive the part: the tie is to the thread, see `client.tether`."""
        # -I and -S: the tether needs nothing but the standard library, and starts in half the time.
        tied = [sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), "--", *self.command]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                tied, env=dict(self.environment), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._started_at = time.monotonic()

    def look_after(self) -> str | None:
        """Start it again if it died, after a wait that doubles with each death; a sentence where there is news."""
        now = time.monotonic()
        if self.process is None:
            if now < self._again_at:
                return None
            self.start()
            return f"{self.name} was started again"
        if self.process.poll() is None:
            return None
        return self._mourn(self.process, now)

    def terminate(self) -> None:
        """Ask it to end. Only the program itself is asked: it knows in what order its own children must go."""
        if self.process and self.process.poll() is None:
            self.process.terminate()

    def kill(self) -> None:
        """End the program and what is left of its group."""
        if self.process:
            _kill_group(self.process.pid)
            self.process.wait()

    @property
    def is_running(self) -> bool:
        """Whether its process was started and has not ended."""
        return self.process is not None and self.process.poll() is None

    def tail(self, lines: int = 15) -> str:
        """The last lines of its log."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as stream:
            stream.seek(max(0, self.log.stat().st_size - 16_384))
            return "\n".join(stream.read().decode(errors="replace").splitlines()[-lines:])

    def _mourn(self, process: subprocess.Popen[bytes], now: float) -> str:
        # Its children have nobody to answer to any more.
        _kill_group(process.pid)
        self.deaths = 1 if now - self._started_at > _STEADY_SECONDS else self.deaths + 1
        wait = min(0.5 * 2 ** (self.deaths - 1), self.longest_wait_seconds)
        self.process, self._again_at = None, now + wait
        return f"{self.name} {_cause(process.returncode)}; starting it again in {wait:g} s; its log is {self.log}"


def rotate(log: Path) -> None:
    """Begin a new log where the old one has grown large; one old log is kept, as `.1`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _LONGEST_LOG:
        log.replace(log.with_name(f"{log.name}.1"))


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def _cause(returncode: int) -> str:
    return f"was ended by {signal.Signals(-returncode).name}" if returncode < 0 else f"ended with code {returncode}"

"""What signals do to a stack: the first ends it in order, a second at once, however close upon the first it comes."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

from client.stack import Stack
from client.up import ended_by_signals
from tests.up import ROOT

HELD_BY_ANOTHER_THREAD = """
import signal, sys, threading
from pathlib import Path
from client.stack import Stack
from client.up import serve
from tests.client import stand_ins

def ready(url):
    threading.Timer(0.5, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGTERM)).start()

serve(Stack(Path(sys.argv[1]), port=0, ready_seconds=60, commands=stand_ins.COMMANDS), ready)
"""
"""The kernel gives a signal that comes close upon another to a thread that has none yet."""


class Struck:
    """Stands in for a stack; a signal comes while the handler of the first one, which has just begun, looks whether it is stopping."""

    def __init__(self, second: signal.Signals | None) -> None:
        self.hastened = 0
        self._second = second

    @property
    def is_stopping(self) -> bool:
        second, self._second = self._second, None
        if second:
            signal.raise_signal(second)
        return False

    def hasten(self) -> None:
        self.hastened += 1

    def say(self, message: str) -> None:
        pass


@pytest.mark.parametrize(("second", "hastened"), [(None, 0), (signal.SIGINT, 1)])
def test_a_second_signal_counts_though_the_first_has_only_just_come(second: signal.Signals | None, hastened: int) -> None:
    stack = Struck(second)
    with ended_by_signals(cast("Stack", stack)):
        signal.raise_signal(signal.SIGTERM)
        pytest.fail("the block goes on after a signal")
    assert stack.hastened == hastened


def test_a_signal_is_heard_whichever_thread_the_kernel_gives_it_to(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", HELD_BY_ANOTHER_THREAD, str(tmp_path / "data")], cwd=ROOT, timeout=60, check=False)
    assert done.returncode == 0

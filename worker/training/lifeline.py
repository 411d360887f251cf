"""That a trainer never outlives its supervisor and can say where it hangs, and what it asks of the system before torch is loaded."""

import ctypes
import faulthandler
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def tie_to_parent() -> None:
    """Dies with the parent, by SIGKILL. Exits at once if the parent is no longer the one named in RIDGELINE_PARENT_PID."""
    if sys.platform == "linux":
        _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # After the call above, not before: a parent that died in between would have sent nothing.
    expected = os.environ.get("RIDGELINE_PARENT_PID")
    if expected is not None and os.getppid() != int(expected):
        os._exit(0)


def explain_on_demand() -> None:
    """Has every thread's stack written to stderr on DUMP_SIGNAL, even by a process that hangs in a call of the system."""
    # Here and not above: reading what a spec is takes a while, in which the supervisor may already be gone.
    from worker.orders import DUMP_SIGNAL

    faulthandler.register(DUMP_SIGNAL, all_threads=True, chain=False)


def keep_freed_memory() -> None:
    """Has the C library hold on to what a step frees for the next one, where it is glibc.

    Otherwise every activation comes on fresh pages, each a fault: the fill of max-pool's gradient alone took a sixth of a step.
    """
    if hasattr(_libc(), "mallopt"):
        _libc().mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # the highest it takes
        _libc().mallopt(_M_TRIM_THRESHOLD, 1 << 30)


def give_back_memory() -> None:
    """Returns what is held on to, between jobs."""
    if hasattr(_libc(), "malloc_trim"):
        _libc().malloc_trim(0)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)

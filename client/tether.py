"""Ties a program to its parent: `python -m client.tether PARENT_PID -- COMMAND…` becomes COMMAND, and dies when the parent does.

Linux sends the signal when the *thread* that started us ends, so parts are started from a thread that outlives them. The tie
is kept across exec, but not passed on to children. Elsewhere than on Linux there is no such tie, and none is made.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Become the command, or end if the parent is gone already."""
    if len(arguments) < 3 or arguments[1] != "--":
        sys.exit("usage: python -m client.tether PARENT_PID -- COMMAND [ARGUMENT…]")
    parent, command = int(arguments[0]), arguments[2:]
    if sys.platform == "linux":
        _tie()
    # A parent that died before the tie was made sends nothing any more.
    if os.getppid() != parent:
        sys.exit(f"the parent {parent} is gone")
    os.execvp(command[0], command)  # noqa: S606 - becoming the command, without a shell, is the point


def _tie() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.exit(f"prctl(PR_SET_PDEATHSIG): {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main(sys.argv[1:])

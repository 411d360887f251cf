"""`python -m benchmarks`: which scenarios are run, how large, within what time, and where the figures go."""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from benchmarks import machine, one, page
from benchmarks.page import Section
from benchmarks.scenarios import NAMES, Size
from client import tether

QUICK_SECONDS = 300.0
TIME_IS_OVER = "the time was over"
_ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """1 where a scenario broke; a goal that is missed is a figure, and no error, nor is a time that was over."""
    asked = _asked()
    size = Size.SMOKE if asked.smoke else Size.QUICK if asked.quick else Size.FULL
    described = machine.described()
    head = page.head(described, size, _command())
    print(head, flush=True)
    sections, pieces, seconds = [], [head], _allowed(asked)
    for section in _sections(asked.only or NAMES, size, seconds):
        sections.append(section)
        pieces.append(page.section(section))
        print(f"\n{pieces[-1]}", flush=True)
        if asked.out:  # each time: a run that is killed leaves what it had
            asked.out.write_text("\n\n".join(pieces) + "\n")
            asked.out.with_suffix(".json").write_text(page.as_json(described, size, sections) + "\n")
    print(f"{sum(section.seconds for section in sections):.0f} s in all", file=sys.stderr)
    return int(any(section.failure and section.failure != TIME_IS_OVER for section in sections))


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measures Ridgeline beside its peers, in turn, and prints a table.")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help=f"all of it in {QUICK_SECONDS:.0f} seconds, on two quiet cores")
    size.add_argument("--smoke", action="store_true", help="that everything runs; the figures mean nothing")
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument(
        "--seconds",
        type=float,
        help=f"begin nothing, and break off what runs, once these are over; {QUICK_SECONDS:.0f} with --quick, 0 for no end",
    )
    parser.add_argument("--out", type=Path, metavar="FILE.md", help="write the page there, and the figures as JSON beside it")
    return parser.parse_args()


def _allowed(asked: argparse.Namespace) -> float:
    """Seconds of the whole run; 0 for no end."""
    return float(asked.seconds if asked.seconds is not None else QUICK_SECONDS if asked.quick else 0.0)


def _sections(names: Sequence[str], size: Size, seconds: float) -> Iterator[Section]:
    end = monotonic() + seconds if seconds else None
    for name in names:
        left = end - monotonic() if end else None
        if left is not None and left <= 0:
            print(f"{name}: left out, the time is over", file=sys.stderr)
            yield Section(name, "Left out.", failure=TIME_IS_OVER)
            continue
        print(f"{name} ...", file=sys.stderr)
        yield _measured(name, size, left)


def _measured(name: str, size: Size, seconds: float | None) -> Section:
    """The scenario in a process of its own, killed after `seconds`, or with this one; what it started dies with it."""
    began, failure = monotonic(), None
    with TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        tied = [sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), "--"]
        command = [*tied, *_program(name, size)]
        surroundings = {**os.environ, "PYTHONPATH": str(_ROOT), "TMPDIR": folder}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=_ROOT, env=surroundings) as process:
            try:
                said, _ = process.communicate(timeout=seconds)
                if process.returncode:
                    failure = f"it ended with code {process.returncode}; its last words are on stderr"
            except subprocess.TimeoutExpired:
                process.kill()
                said, _ = process.communicate()
                failure = TIME_IS_OVER
    title, *rows = _whole_lines(said) or [""]
    return Section(name, title, [one.from_line(row) for row in rows], failure, monotonic() - began)


def _program(name: str, size: Size) -> list[str]:
    return [sys.executable, "-P", "-m", "benchmarks.one", name, size]


def _whole_lines(said: str) -> list[str]:
    """What was said to the end: who is killed may have been speaking."""
    return [line.rstrip("\n") for line in said.splitlines(keepends=True) if line.endswith("\n")]


def _command() -> str:
    return " ".join(["scripts/bench", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())

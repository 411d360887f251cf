"""A worker like any other, whose trainer writes down when each job has taken its first step: `python -m benchmarks.marked FILE`.

Nothing that the service tells is so exact: it hears of steps twice a second.
"""

import sys
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

_TRAINER = "trainer"


def worker(file: Path) -> None:
    """The worker, with the marking trainer below it."""
    from worker import process

    # Before the supervisor is imported, which takes the command from there.
    vars(process)["TRAINER"] = (sys.executable, "-m", "benchmarks.marked", str(file), _TRAINER)
    from worker.__main__ import main

    sys.exit(main())


def trainer(file: Path) -> None:
    """The trainer, with a line in the file for each job: its id and the seconds since 1970."""
    from worker.training import __main__ as program
    from worker.training import wire

    listen = wire.listen

    def listening() -> wire.Inbox:
        # Only here: what is read when torch is loaded must be set before, as the program does it.
        inbox = listen()
        mark_steps(file)
        return inbox

    wire.listen = listening
    program.main()


def mark_steps(file: Path) -> None:
    """From now on what this process trains is marked."""
    from worker.training import lean

    lean.spare_the_compiler()
    from worker.training import serve
    from worker.training.fit import fit
    from worker.training.run import Run
    from worker.training.said import Said
    from worker.training.saver import Saver

    def marking(run: Run, saver: Saver | None = None) -> Generator[Said, None, None]:
        is_marked = False
        with closing(fit(run, saver)) as training:
            for said in training:
                if run.step and not is_marked:
                    is_marked = True
                    with file.open("a") as marks:
                        marks.write(f"{run.scratch.name.rpartition('-')[0]} {time.time()}\n")
                yield said

    vars(serve)["fit"] = marking


def read(file: Path) -> dict[str, float]:
    """When each job had taken its first step, by id, in seconds since 1970."""
    if not file.exists():
        return {}
    return {job_id: float(at) for job_id, at in (line.split() for line in file.read_text().splitlines())}


if __name__ == "__main__":
    (trainer if sys.argv[2:] == [_TRAINER] else worker)(Path(sys.argv[1]))

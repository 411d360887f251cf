"""Programs in place of the API and the worker, and a stack made of them: `python -m tests.client.stand_ins up DATA_DIR`.

What is under test is how parts are started, tied, restarted and stopped, so these only come up, note what happens to them in
the file ORDER of their data folder, and end. The broker beside them is the real one.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

from client.stack import Stack
from client.up import serve
from tests.client.fake import Fake

NAME = "tests.client.stand_ins"
COMMANDS = {"api": [sys.executable, "-m", NAME, "api"], "worker": [sys.executable, "-m", NAME, "worker"]}


def stack(data_dir: Path, **options: object) -> Stack:
    return Stack(data_dir, port=0, ready_seconds=60, commands=COMMANDS, **options)  # type: ignore[arg-type]


def notes(data_dir: Path) -> list[str]:
    file = data_dir / "ORDER"
    return file.read_text().split() if file.exists() else []


def main(role: str, *rest: str) -> None:
    match role:
        case "up":
            serve(stack(Path(rest[0])), lambda url: print(f"ready {url}", flush=True))
        case "api":
            with Fake(int(os.environ["RIDGELINE_PORT"])):
                _wait(role)
        case "worker":
            _scratch().mkdir(parents=True, exist_ok=True)
            (_scratch() / "environment").write_text(json.dumps(dict(os.environ)))
            _wait(role)


def _wait(role: str) -> None:
    asked = threading.Event()

    def hear(_number: int, _frame: FrameType | None) -> None:
        asked.set()

    signal.signal(signal.SIGTERM, hear)
    _note(f"{role}-up")
    asked.wait()
    _note(f"{role}-asked")
    _note(f"{role}-down")


def _note(line: str) -> None:
    with (Path(os.environ["RIDGELINE_ARTIFACTS_FOLDER"]).parent / "ORDER").open("a") as file:
        file.write(f"{line}\n")


def _scratch() -> Path:
    return Path(os.environ["RIDGELINE_SCRATCH_FOLDER"])


if __name__ == "__main__":
    main(*sys.argv[1:])

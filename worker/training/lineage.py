"""What a result follows from: spec, seed, code and machine."""

import os
import platform
from importlib import metadata
from pathlib import Path

from contract import events
from worker.training import checkpoint
from worker.training.run import Run


def of(run: Run) -> events.Lineage:
    """Everything that must be the same for the same bits, beside the data."""
    return events.Lineage(
        spec_sha256=checkpoint.spec_sha256(run.spec),
        seed=run.spec.seed,
        version=_version("ridgeline"),
        commit=commit(Path(__file__).parents[2]),
        fingerprint=run.machine.fingerprint(),
    )


def versions() -> dict[str, str]:
    """Of Ridgeline, Python, torch, torchvision and numpy, as installed."""
    installed = {name: _version(name) for name in ("ridgeline", "torch", "torchvision", "numpy")}
    return {"python": platform.python_version(), **installed}


def commit(root: Path) -> str | None:
    """The commit that the code was built from: as RIDGELINE_COMMIT says (an image has no repository), else that of `root`'s clone."""
    if told := os.environ.get("RIDGELINE_COMMIT"):
        return told
    try:
        head = (root / ".git" / "HEAD").read_text().strip()
        return head if not head.startswith("ref: ") else (root / ".git" / head.removeprefix("ref: ")).read_text().strip()
    except OSError:
        return None


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"

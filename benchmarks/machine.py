"""On what a benchmark ran: the head of every page of figures."""

import os
import platform
import re
from importlib import metadata
from pathlib import Path

_PACKAGES = ("torch", "pytorch-lightning", "skorch", "torchvision", "fastapi", "uvicorn", "celery", "sqlalchemy", "numpy")


def threads() -> int:
    """With how many threads every program here computes: OMP_NUM_THREADS, or the cores that this process may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() and int(asked) else cores()


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def described() -> dict[str, str]:
    """What decides a figure besides the code, in words."""
    found = {"processor": f"{cores()} cores of {_processor()}", "threads": str(threads()), "load when it began": _load()}
    return found | {"system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}", "versions": _versions()}


def memory_mb(pid: int) -> tuple[float, float]:
    """Resident memory of a process in 10^6 bytes: now, and the most it ever was. Linux only."""
    status = Path(f"/proc/{pid}/status").read_text()
    now, most = (int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) * 1024 / 1e6 for name in ("VmRSS", "VmHWM"))  # type: ignore[index]
    return now, most


def child(command: str) -> int:
    """The process below this one whose command holds these words. Raises LookupError where there is none. Linux only."""
    for file in Path("/proc/self/task").glob("*/children"):
        for pid in map(int, file.read_text().split()):
            if command in Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode() + " ":
                return pid
    raise LookupError(f"no process of ours was started as '{command.strip()}'")


def _processor() -> str:
    try:
        models = re.findall(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        models = []
    return models[0] if models else platform.processor() or platform.machine()


def _load() -> str:
    """The mean number of processes that ran or waited to in the last minute: above 0.1 or so the figures share the machine."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "not known"


def _versions() -> str:
    return ", ".join(f"{name} {version}" for name in _PACKAGES if (version := _version(name)))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None

"""How a run is told: tables in Markdown, ready to be pasted into docs/scale.md."""

import os
import platform
import statistics
from collections.abc import Sequence

from benchmarks.scale.fake import PULSE_SECONDS, Course, Deed
from benchmarks.scale.fleet import Heard


def offered_per_second(workers: int, course: Course) -> float:
    """Transactions that so many busy workers send: renewals and pulses by the clock, and for each job its claim, checkpoints and end."""
    of_job = (course.epochs + 2) / (course.seconds + course.renew_seconds)
    return workers * (1 / course.renew_seconds + 1 / PULSE_SECONDS + of_job)


def fleet(kind: str, workers: int, course: Course, heard: Heard, database_cpu: float) -> str:
    """One run, predicted beside measured."""
    offered, carried = offered_per_second(workers, course), sum(map(len, heard.took.values())) / max(heard.seconds, 1e-9)
    a_transaction = 1000 / max(heard.transactions, 1)
    rows = [
        ("transactions a second", f"{offered:,.0f}", f"{carried:,.0f} ({carried / offered:.0%})"),
        *((f"{deed}, ms", "", _spread(heard.took[deed])) for deed in Deed if heard.took.get(deed)),
        ("renewal answered after it was due, ms", "", _spread(heard.late)),
        ("leases that ran out", "0", f"{sum(gap > course.lease_seconds for gap in heard.gaps) + heard.lost}"),
        ("longest without a renewal, s", f"{course.renew_seconds:g}", f"{max(heard.gaps, default=0):.1f}"),
        ("calls without an answer", "0", f"{heard.refused}"),
        ("database CPU a transaction, ms", "", "in the driver" if kind == "sqlite" else f"{database_cpu * a_transaction:.2f}"),
        ("driver CPU a transaction, ms", "", f"{heard.driver_cpu_seconds * a_transaction:.2f}"),
    ]
    head = f"{kind}, {workers:,} workers, {heard.seconds:.0f} s measured"
    return table((head, "predicted", "measured"), rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """In Markdown."""
    return "\n".join(["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)])


def machine() -> str:
    """Of which the figures are."""
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, load {load:.1f} at the start"


def quantile(values: Sequence[float], share: float) -> float:
    """Of the values, so that this share is not above it; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _spread(seconds: Sequence[float]) -> str:
    if not seconds:
        return "none"
    return f"p50 {statistics.median(seconds) * 1000:,.1f}, p99 {quantile(seconds, 0.99) * 1000:,.1f} ({len(seconds):,})"

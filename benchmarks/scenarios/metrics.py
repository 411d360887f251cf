"""How long a chart's numbers take to read when a job has reported a million of them."""

import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import figures
from benchmarks.figures import Goal, Row
from benchmarks.scenarios import Size
from contract.spec import JobSpec
from contract.store import Store, jobs, metrics, schema, thinning
from contract.store.metrics import Sample

TITLE = "A job's numbers thinned to max_points, as a chart asks for them, from SQLite on this machine's disk."
NEEDS_STACK = False
_ROWS = {Size.SMOKE: 2_000, Size.QUICK: 100_000, Size.FULL: 1_000_000}
_TIMES = {Size.SMOKE: 2, Size.QUICK: 5, Size.FULL: 15}
_POINTS = {Size.SMOKE: (100,), Size.QUICK: (1000,), Size.FULL: (1000, 5000)}
_PIECE = 10_000
_VALUES = {"train.loss": 0.5, "train.accuracy": 0.9, "train.penalty.l1": 0.01, "lr": 1e-3, "samples_per_second": 1e4}


def run(size: Size) -> Iterator[Row]:
    """Milliseconds of a read, and beside it what it allocates at most. The goal is that of 1,000 points of a million rows."""
    with TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{Path(folder)}/ridgeline.db")
        schema.migrate(store)
        job_id = jobs.submit(store, "default", JobSpec.model_validate({"dataset": {"kind": "fake"}})).job.id
        _fill(store, job_id, _ROWS[size])
        for most in _POINTS[size]:
            scopes: tuple[metrics.Scope | None, ...] = (None, "step", "epoch")
            for scope in scopes:
                yield _row(store, job_id, scope, most, size)
        store.close()


def _row(store: Store, job_id: str, scope: metrics.Scope | None, most: int, size: Size) -> Row:
    def read() -> int:
        return len(thinning.thinned(store, job_id, scope, 0, None, [], most, {"val.loss": "min"}))

    took = []
    for _ in range(_TIMES[size]):
        began = time.perf_counter()
        points = read()
        took.append((time.perf_counter() - began) * 1000)
    goal = Goal("at most", 200) if most <= 1000 else None
    what = f"{_ROWS[size]:,} rows, {scope or 'steps and epochs'}, max_points {most:,}"
    return Row(what, figures.spread(took), "ms", goal, {"points": points, "peak MB": _peak_mb(read)})


def _peak_mb(read: Callable[[], object]) -> float:
    tracemalloc.start()
    read()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 1e6


def _fill(store: Store, job_id: str, rows: int) -> None:
    """Every step and a thousand epochs, or a tenth as many epochs as steps."""
    epochs = min(1000, rows // 10)
    samples = [Sample(number * rows // epochs, "epoch", number, {"val.loss": 1 / number}) for number in range(1, epochs + 1)]
    with store.write() as connection:
        now = store.now(connection)
        for start in range(0, rows, _PIECE):
            steps = range(start + 1, min(start + _PIECE, rows) + 1)
            metrics.record(connection, job_id, now, [Sample(step, "step", 1, _VALUES) for step in steps])
        metrics.record(connection, job_id, now, samples)

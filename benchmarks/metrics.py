"""How long it takes to read a job's numbers when there are a million: `python -m benchmarks.metrics [DATABASE_URL]`."""

import statistics
import sys
import tempfile
import time
import tracemalloc
from itertools import islice

from sqlalchemy import insert

from contract.spec import JobSpec
from contract.store import Store, jobs, schema, tables, thinning

ROWS, EPOCHS, TIMES = 1_000_000, 1000, 15


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(sys.argv[1] if len(sys.argv) > 1 else f"sqlite:///{folder}/ridgeline.db")
        schema.migrate(store)
        job_id = jobs.submit(store, "default", JobSpec.model_validate({"dataset": {"kind": "fake"}})).job.id
        _fill(store, job_id)
        if not store.is_sqlite:
            with store.engine.connect() as connection:
                connection.exec_driver_sql("ANALYZE metrics")
        for most in (1000, 5000):
            for scope in (None, "step", "epoch"):
                _measure(store, job_id, scope, most)
        store.close()


def _fill(store: Store, job_id: str) -> None:
    values = {"train.loss": 0.5, "train.accuracy": 0.9, "train.penalty.l1": 0.01, "lr": 1e-3, "samples_per_second": 1e4}
    steps = ({"job_id": job_id, "step": n, "scope": "step", "epoch": 1, "at": 1.0, "values": values} for n in range(1, ROWS + 1))
    epochs = ({"job_id": job_id, "step": n * ROWS // EPOCHS, "scope": "epoch", "epoch": n, "at": 1.0, "values": {"val.loss": 1 / n}}
              for n in range(1, EPOCHS + 1))  # fmt: skip
    with store.write() as connection:
        for rows in (steps, epochs):
            while piece := list(islice(rows, 10_000)):
                connection.execute(insert(tables.metrics), piece)


def _measure(store: Store, job_id: str, scope: thinning.Scope | None, most: int) -> None:
    def read() -> int:
        return len(thinning.thinned(store, job_id, scope, 0, None, [], most, {"val.loss": "min"}))

    took, used = [], []
    for _ in range(TIMES):
        began, at = time.perf_counter(), time.process_time()
        points = read()
        took.append((time.perf_counter() - began) * 1000)
        used.append((time.process_time() - at) * 1000)
    tracemalloc.start()
    read()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    name = "sqlite" if store.is_sqlite else "postgresql"
    print(f"{name:10} scope {scope or 'both':5} max_points {most}: {points} points, median {statistics.median(took):.0f} ms, "
          f"best {min(took):.0f} ms, CPU {statistics.median(used):.0f} ms, peak {peak / 1e6:.1f} MB")  # fmt: skip


if __name__ == "__main__":
    main()

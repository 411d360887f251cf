"""PostgreSQL killed, or cut off, under workers that are at work: whether every job goes on, and none is taken for deserted."""

import random
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from sqlalchemy import func, select

from contract.artifacts import LocalFolder
from contract.errors import StoreUnavailableError
from contract.settings import Settings
from contract.spec import JobSpec
from contract.store import Store, jobs, schema, tables
from service.reconciler import Reconciler
from tests.faults import databases, ledger
from tests.faults.proxy import Cut, Proxy
from tests.faults.report import Report
from worker.supervisor import Supervisor

TENANT = "default"
TRAINER = (sys.executable, str(Path(__file__).parents[1] / "worker" / "scripted_trainer.py"))
WORKERS = 2
PATIENCE_SECONDS = 90.0
_SCRIPT = " ".join(["nap epoch checkpoint"] * 8)


def storm(number: int, seed: int, lease_seconds: float, away_seconds: float) -> Report:
    """Kill the server `number` times while jobs run, and start it again after `away_seconds`, beside a lease of `lease_seconds`."""
    report, chance = Report("outages", seed=seed), random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="rl-") as name, databases.opened("postgresql", Path(name)) as database:
        store = Store(database.url)
        schema.migrate(store)
        with _at_work(store, database.url, Path(name), lease_seconds):
            for _ in range(number):
                report.jobs += len(_submitted(store, 2 * WORKERS))
                _await(lambda: _count(store, tables.jobs.c.checkpoint_seq > 0) > 0, "a first checkpoint")
                sleep(chance.random())
                database.kill()
                report.add("server killed")
                sleep(away_seconds)
                database.restart()
                _await(lambda: _count(store, tables.jobs.c.finished_at.is_(None)) == 0, "the end of every job")
        _judge(store, report)
        store.close()
    return report


def cut_off(url: str, folder: Path, number: int, seed: int) -> Report:
    """Cut `number` COMMITs, any of those that two workers and a reconciler say to the migrated PostgreSQL database at `url`."""
    report, chance, store = Report("cuts at work", seed=seed), random.Random(seed), Store(url)
    with Proxy(url) as proxy, _at_work(Store(proxy.url), proxy.url, folder, lease_seconds=20):
        proxy.decide = lambda: chance.choice([*Cut]) if chance.random() < 0.04 and len(proxy.cuts) < number else None
        while len(proxy.cuts) < number:
            report.jobs += len(_submitted(store, WORKERS))
            _await(lambda: _count(store, tables.jobs.c.finished_at.is_(None)) == 0, "the end of every job")
    for cut in proxy.cuts:
        report.add(f"cut {cut}")
    _judge(store, report)
    store.close()
    return report


@contextmanager
def _at_work(store: Store, url: str, folder: Path, lease_seconds: float) -> Iterator[None]:
    """Workers and a reconciler of this process, until the block is left."""
    stopping = threading.Event()
    artifacts = LocalFolder(folder / "artifacts")
    reconciler = Reconciler(store, artifacts, lambda _: None, lease_seconds=lease_seconds, every_seconds=0.1, stopping=stopping)
    hired = [Supervisor(_settings(url, folder / f"worker-{index}", folder, lease_seconds), TRAINER) for index in range(WORKERS)]
    for worker in hired:
        worker.start()
    reconciler.start()
    try:
        yield
    finally:
        stopping.set()
        reconciler.join(30)
        for worker in hired:
            worker.close()


def _settings(url: str, scratch: Path, folder: Path, lease_seconds: float) -> Settings:
    return Settings(
        database_url=url,
        artifacts_folder=folder / "artifacts",
        scratch_folder=scratch,
        lease_seconds=lease_seconds,
        renew_seconds=0.1,
        poll_seconds=0.1,
        trainer_stop_seconds=5,
    )


def _submitted(store: Store, number: int) -> list[str]:
    spec = JobSpec.model_validate({"dataset": {"kind": "fake"}, "metadata": {"script": _SCRIPT}})
    return [jobs.submit(store, TENANT, spec).job.id for _ in range(number)]


def _judge(store: Store, report: Report) -> None:
    report.notes = {"attempts": _total(store, "attempt"), "crashes": _total(store, "crash_count")}
    succeeded = _count(store, tables.jobs.c.state == "succeeded")
    report.violations += [] if succeeded == report.jobs else [f"{succeeded} of {report.jobs} jobs succeeded"]
    report.violations += ledger.unfinished(store) + ledger.violations(store)


def _count(store: Store, condition: object) -> int:
    with store.read() as connection:
        return int(connection.execute(select(func.count()).select_from(tables.jobs).where(condition)).scalar_one())  # type: ignore[arg-type]


def _total(store: Store, column: str) -> int:
    with store.read() as connection:
        return int(connection.execute(select(func.sum(tables.jobs.c[column]))).scalar_one())


def _await(condition: Callable[[], bool], what: str) -> None:
    end = monotonic() + PATIENCE_SECONDS
    while True:
        try:
            if condition():
                return
        except StoreUnavailableError:
            sleep(0.1)
        assert monotonic() < end, f"waited {PATIENCE_SECONDS:g} s in vain for {what}"
        sleep(0.05)

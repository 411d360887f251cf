"""What the tests of the service share: the application on a real store, and hands that do a worker's part."""

import hashlib
import logging
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from fastapi import FastAPI
from sqlalchemy import update

from contract.artifacts import LocalFolder
from contract.events import FailureCode, File
from contract.job import Job
from contract.lifecycle import Failure, Report
from contract.settings import Settings
from contract.store import Store, checkpoints, leases, metrics, tables, workers
from contract.store.leases import Lease
from contract.store.rows import Note
from service import logs
from service.app import create_app
from tests.service.guarded import Guarded, guarded

BYTES = bytes(range(256)) * 40
DATA = {"name": "fake", "source": "generated", "sha256": "0" * 64, "train_rows": 90, "validation_rows": 10, "test_rows": 20}
MACHINE = {"device": "cpu", "precision": "float32", "threads": 1, "cpu_capability": "AVX2", "torch": "2.15.0"}
RESULT = {
    "stop_reason": "epochs",
    "epochs": 2,
    "steps": 20,
    "metrics": {"test.accuracy": 0.9, "test.loss": float("inf")},
    "best_epoch": 2,
    "best_metrics": {"val.loss": 0.4},
    "confusion": [[9, 1], [0, 10]],
    "layers": [{"name": "fc1", "size": 8, "zeros": 3, "near_zero": 4, "l1": 2.0, "l2": 1.5}],
    "parameters": 8,
    "data": DATA,
    "machine": MACHINE,
    "versions": {"torch": "2.15.0"},
    "timings": {"train": 1.5},
    "samples_per_second": 60.0,
    "resumed_at_steps": [],
    "bitwise": True,
}


@dataclass(frozen=True)
class Hands:
    """A worker's part, done by the functions that a worker uses."""

    store: Store
    artifacts: LocalFolder
    folder: Path

    def claim(self, job_id: str) -> Lease:
        job = leases.claim(self.store, "worker-1", "cpu", 60, job_id)
        assert job is not None
        return Lease(job.id, job.fence)

    def step(self, lease: Lease, step: int, **values: float) -> Job:
        report = Report(step=step, steps=20, latest_metrics=values, data=DATA, machine=MACHINE)
        return leases.renew(self.store, lease, 60, report, samples=[metrics.Sample(step, "step", 1, values)])

    def epoch(self, lease: Lease, epoch: int, **values: float) -> Job:
        sample = metrics.Sample(epoch * 10, "epoch", epoch, values)
        note = Note("epoch", f"epoch {epoch}", {"epoch": epoch, "metrics": values})
        return leases.renew(self.store, lease, 60, Report(epoch=epoch, step=epoch * 10), [note], [sample])

    def checkpoint(self, lease: Lease, epoch: int, loss: float) -> Job:
        source = self.folder / "model.safetensors"
        source.write_bytes(BYTES)
        prefix, sha256 = f"{lease.job_id}/{lease.fence}/{epoch}", hashlib.sha256(BYTES).hexdigest()
        self.artifacts.put(f"{prefix}/model.safetensors", source, sha256)
        file = File(name="model.safetensors", size_bytes=len(BYTES), sha256=sha256)
        return checkpoints.record(self.store, lease, checkpoints.Draft(epoch, epoch * 10, {"val.loss": loss}, False, prefix, [file]))

    def succeed(self, lease: Lease) -> Job:
        return leases.succeed(self.store, lease, RESULT)

    def fail(self, lease: Lease) -> Job:
        return leases.fail(self.store, lease, Failure(FailureCode.DIVERGED, "loss became nan at step 3", "try a lower lr"))

    def lapse(self, lease: Lease) -> None:
        with self.store.write() as connection:
            connection.execute(update(tables.jobs).where(tables.jobs.c.id == lease.job_id).values(lease_until=1.0))

    def appear(self, state: workers.State = "idle") -> None:
        workers.seen(self.store, worker_id="worker-1", host="here", pid=1, state=state, device="cpu", versions={"torch": "2"})


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True, scope="session")
def _plain_logs() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.configure("warning")
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return _settings(tmp_path)


@pytest.fixture(scope="module")
def standing_folder(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Path:
    folder = tmp_path_factory.mktemp("standing")
    shutil.copy(migrated_sqlite, folder / "ridgeline.db")
    return folder


@pytest.fixture(scope="module")
async def standing(standing_folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client for requests that leave no trace, or whose traces disturb no test of the module."""
    async with running(create_app(_settings(standing_folder))) as made:
        yield made


@pytest.fixture(scope="module")
async def service(standing_folder: Path) -> AsyncIterator[Guarded]:
    """The same where keys are asked for, with two tenants."""
    async with guarded(_settings(standing_folder), running) as made:
        yield made


@pytest.fixture(scope="module")
def standing_hands(standing_folder: Path) -> Iterator[Hands]:
    settings = _settings(standing_folder)
    store = Store(settings.database_url)
    yield Hands(store, LocalFolder(settings.artifacts_folder), standing_folder)
    store.close()


@pytest.fixture
def hands(sqlite_store: Store, settings: Settings, tmp_path: Path) -> Hands:
    return Hands(sqlite_store, LocalFolder(settings.artifacts_folder), tmp_path)


@pytest.fixture
async def client(sqlite_store: Store, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with running(create_app(settings)) as made:
        yield made


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, between its start and its end."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://test") as made:
        yield made


@pytest.fixture
def serve() -> Any:
    return running


@pytest.fixture
async def job_id(client: httpx.AsyncClient) -> str:
    """A job just submitted, its data set fake."""
    reply = await client.post("/v1/jobs", json={"dataset": {"kind": "fake"}, "epochs": 2})
    return str(reply.json()["id"])


@pytest.fixture(scope="module")
async def standing_job(standing: httpx.AsyncClient) -> str:
    return str((await standing.post("/v1/jobs", json={"dataset": {"kind": "fake"}})).json()["id"])


def _settings(folder: Path) -> Settings:
    """A broker that nobody can reach, since none is needed; a reconciler that stays quiet, since its own tests call it."""
    return Settings(
        database_url=f"sqlite:///{folder}/ridgeline.db",
        redis_url="redis://127.0.0.1:1/0",
        artifacts_folder=folder / "artifacts",
        scratch_folder=folder / "scratch",
        reconcile_seconds=3600,
    )

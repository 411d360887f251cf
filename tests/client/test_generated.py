"""A client generated from the description that is kept in docs has right types, and takes a job from its submission to its end."""

import importlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from contract.store import Store, leases
from contract.store.leases import Lease
from tests.fuzz import raw, rig

ROOT = Path(__file__).parents[2]
CONFIG = "project_name_override: ridgeline-generated\npackage_name_override: ridgeline_generated\npost_hooks: []\n"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the package, made without asking the network for anything."""
    folder = tmp_path_factory.mktemp("generated")
    (folder / "config.yml").write_text(CONFIG)
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none", "--config", str(folder / "config.yml")]
    made = folder / "ridgeline_generated"
    done = subprocess.run(
        [*command, "--path", str(ROOT / "docs" / "openapi.json"), "--output-path", str(made)],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=folder,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # Pictures have no type there; but each shape and each operation is to be had.
    assert "Unable to process schema" not in done.stdout + done.stderr
    assert "will not be generated" not in done.stdout + done.stderr
    return made


def test_its_types_are_right(package: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--config-file", "", "--cache-dir", str(package.parent / "cache"), str(package)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=package.parent)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr


@pytest.fixture
def generated(package: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(package.parent))
    yield lambda name: importlib.import_module(f"ridgeline_generated.{name}")
    for name in [name for name in sys.modules if name.startswith("ridgeline_generated")]:
        del sys.modules[name]


def test_it_submits_a_job_and_follows_it_to_its_end(generated: Any, tmp_path: Path) -> None:
    with raw.served(tmp_path) as port:
        client = generated("client").AuthenticatedClient(base_url=f"http://127.0.0.1:{port}", token=rig.KEY, timeout=httpx.Timeout(30.0))
        models = generated("models")
        penalty = models.L2(kind="l2", lambda_=5e-4)
        spec = models.JobSpec(optimizer=models.Adam(kind="adam"), penalties=[penalty], epochs=2, name="généré")
        job = generated("api.jobs.submit_job").sync(client=client, body=spec)
        assert (job.status, job.name, job.spec.penalties[0].lambda_) == ("queued", "généré", 5e-4)
        worker = threading.Thread(target=train, args=(f"sqlite:///{tmp_path}/ridgeline.db", job.id))
        worker.start()
        worker.join()
        ended = generated("api.jobs.get_job").sync(job_id=job.id, client=client)
        assert (ended.status, ended.error.code) == ("failed", "diverged")
        events = generated("api.progress.list_events").sync(job_id=job.id, client=client)
        assert [event.type_ for event in events.data] == ["status", "status", "status"]
        missing = generated("api.jobs.get_job").sync(job_id="job_" + "0" * 26, client=client)
        assert (type(missing).__name__, missing.code) == ("Problem", "not_found")


def train(url: str, job_id: str) -> None:
    """A worker's part, by the functions that a worker uses."""
    from contract.events import FailureCode
    from contract.lifecycle import Failure

    store = Store(url)
    job = leases.claim(store, "worker-1", "cpu", 60, job_id)
    assert job is not None
    leases.fail(store, Lease(job.id, job.fence), Failure(FailureCode.DIVERGED, "loss became nan at step 3", "try a lower lr"))
    store.close()

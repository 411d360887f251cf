"""`ridgeline down` on the real stack, as an operator uses it while a job runs."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from client import down
from contract.job import JobState
from contract.store import Store, jobs
from tests import processes
from tests.up import LONG, ROOT, Up

pytestmark = pytest.mark.journey


def test_down_ends_the_whole_stack_and_leaves_the_running_job_on_a_checkpoint_in_the_queue(own_up: Callable[[], Up]) -> None:
    up = own_up()
    job = up.submit(LONG)
    up.until(job["id"], lambda job: job["progress"]["epoch"] >= 1)
    below = up.children()
    # Celery's processes and the trainer are known too, by what they were started with.
    assert set(below) <= set(down.parts_of(up.folder)), below
    command = [sys.executable, "-m", "client", "down", "--data-dir", str(up.folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert (done.returncode, done.stdout) == (0, f"stopped the stack in {up.folder} (pid {up.process.pid})\n"), done.stderr
    assert up.process.wait(timeout=60) == 0
    assert [command for pid, command in below.items() if processes.is_alive(pid)] == []
    assert processes.of_folder(up.folder) == []
    store = Store(f"sqlite:///{up.folder}/ridgeline.db")
    left = jobs.get(store, "default", job["id"])
    store.close()
    assert (left.state, left.status_reason, left.owner) == (JobState.QUEUED, "its worker is shutting down", None)
    assert left.checkpoint_id is not None

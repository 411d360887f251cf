"""A job that is poison ends with the code that says why, and the job beside it does not notice."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.store import jobs, listing
from tests.faults import disks, poison, rig
from tests.faults.rig import Rig

pytestmark = [pytest.mark.faults, pytest.mark.storm, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data-sets")


@pytest.fixture(scope="module")
def disks_of(stack: Rig) -> dict[str, Path]:
    """The small disks of the stack, by what lies on them; none where this user may not mount one."""
    return {name: disk for name, disk in _disks(stack).items() if disk.is_mount()}


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[Rig]:
    with rig.rigged("sqlite", **poison.settings(folder)) as made, disks.small(*_disks(made).values()):
        made.start()
        yield made
        assert made.down() == []


def _disks(made: Rig) -> dict[str, Path]:
    return {"artifacts": made.artifacts, "scratch": made.data_dir / "scratch" / "worker-1"}


@pytest.mark.parametrize("name", poison.POISONS)
def test_a_poisoned_job_ends_with_its_own_code_and_its_neighbour_succeeds(stack: Rig, folder: Path, name: str) -> None:
    assert poison.fed(stack, folder, name) == []


def test_the_stack_of_a_trainer_that_hung_says_where(stack: Rig) -> None:
    (hung,) = [job for job in listing.page(stack.store, "default", 100) if job.error and job.error["code"] == "stalled"]
    stacks = [event.data["stack"] for event in jobs.events(stack.store, hung.id) if event.type == "warning"]
    assert len(stacks) == 3
    assert all(any("idx.py" in line for line in lines) for lines in stacks), stacks


@pytest.mark.parametrize(("disk", "reason"), [("artifacts", "No space left on device"), ("scratch", "no space left")])
def test_a_full_disk_costs_a_wait_and_no_checkpoint(stack: Rig, disks_of: dict[str, Path], disk: str, reason: str) -> None:
    if not disks_of:
        pytest.skip("this user may not mount a disk that is small enough to be filled")
    assert disks.violations(stack, disks_of[disk], reason) == []

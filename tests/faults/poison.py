"""Jobs that harm the trainer they are given to, or whose trainer is harmed: whether each ends with its own failure code, alone."""

import fcntl
import os
import random
import resource
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Final

from sqlalchemy import update

from contract.job import Job, JobState
from contract.store import jobs, tables
from tests.faults.databases import Kind
from tests.faults.report import Report
from tests.faults.rig import Rig, Role, kill, rigged
from tests.up import LONG, ROOT, SMALL, Json

STALL_SECONDS: Final = 6.0
_CLOTHES: Final = "fashion_mnist"
_IMAGES: Final = "train-images-idx3-ubyte.gz"
_SHIPPED: Final = ROOT / "worker" / "training" / "data" / _CLOTHES
# Its first checkpoint comes after an epoch of minutes, so that each crash is one without progress.
_SLOW: Final[Json] = {**SMALL, "dataset": {"kind": "fake", "train_rows": 60_000}, "epochs": 1}
_OF_CLOTHES: Final[Json] = {**SMALL, "dataset": {"kind": "builtin"}, "epochs": 1}
_DIVERGING: Final[Json] = {**SMALL, "optimizer": {"kind": "sgd", "lr": 10.0, "momentum": 0.99}, "loss": {"kind": "half_mse"}, "epochs": 50}
_LARGE: Final[Json] = {**SMALL, "model": {"kind": "mlp", "hidden": [6000, 6000]}}
_ROOM: Final = 64 << 20

Look = Callable[[Job], None]
"""What is done to the poisoned job each time that it is looked at."""
Harm = Callable[[Rig, Path], AbstractContextManager[tuple[str, Look]]]
"""A poisoned job, for as long as the harm lasts; what is harmed besides the trainer lies in the folder."""


def settings(folder: Path) -> dict[str, str]:
    """What a stack must be told to be poisoned; its data sets will lie in `folder`."""
    shutil.copytree(_SHIPPED, folder / _CLOTHES)
    return {"RIDGELINE_DATA_FOLDER": str(folder), "RIDGELINE_STALL_SECONDS": f"{STALL_SECONDS:g}"}


def poisons(scale: int, seed: int, database: Kind) -> Report:
    """Every poison so many times, in an order drawn from the seed, each beside a healthy neighbour, on a stack of one worker."""
    report, chance = Report("poison", seed=seed), random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="rl-data-") as folder, rigged(database, **settings(Path(folder))) as rig:
        rig.start()
        for name in (name for _ in range(scale) for name in chance.sample([*POISONS], len(POISONS))):
            report.add(name)
            report.jobs += 2
            report.violations += fed(rig, Path(folder), name)
        report.violations += rig.down()
    return report


def fed(rig: Rig, folder: Path, name: str) -> list[str]:
    """What went wrong with one poison: another end than it should meet, or harm to the neighbour."""
    code, harm = POISONS[name]
    with harm(rig, folder / _CLOTHES) as (job_id, look):
        neighbour = _submitted(rig, SMALL)
        done = _ended(rig, job_id, look)
        beside = _ended(rig, neighbour)
    ended = done.error["code"] if done.error else done.state.value
    found = [] if ended == code else [f"{name}: the job ended with {ended} instead of {code}: {done.status_reason}"]
    return found if beside.state is JobState.SUCCEEDED else [*found, f"{name}: its neighbour is {beside.state}: {beside.status_reason}"]


def row(rig: Rig, job_id: str) -> Job:
    return jobs.get(rig.store, "default", job_id)


def _submitted(rig: Rig, spec: Json) -> str:
    return str(rig.up.submit(spec)["id"])


def _ended(rig: Rig, job_id: str, look: Look = lambda job: None) -> Job:
    def has_ended() -> bool:
        job = row(rig, job_id)
        look(job)
        return job.is_terminal

    rig.until(has_ended, f"the end of {job_id}")
    return row(rig, job_id)


@contextmanager
def _given(rig: Rig, spec: Json) -> Iterator[tuple[str, Look]]:
    """A job that is poison by itself."""
    yield _submitted(rig, spec), lambda job: None


@contextmanager
def _struck(rig: Rig, number: signal.Signals) -> Iterator[tuple[str, Look]]:
    """A signal to the trainer at each attempt, as by a fault in a kernel of torch, or by the system that is out of memory."""
    struck: set[int] = set()

    def look(job: Job) -> None:
        if job.state is JobState.RUNNING and job.attempt not in struck:
            struck.add(job.attempt)
            time.sleep(0.2)
            kill(rig.pid(Role.TRAINER), number)

    yield _submitted(rig, _SLOW), look


@contextmanager
def _without_memory(rig: Rig) -> Iterator[tuple[str, Look]]:
    """A trainer that may not grow by as much as the network needs: malloc itself fails."""
    trainer = _warm_trainer(rig)
    size = int(Path(f"/proc/{trainer}/statm").read_text().split()[0]) * resource.getpagesize()
    _, hard = resource.prlimit(trainer, resource.RLIMIT_AS, (size + _ROOM, resource.RLIM_INFINITY))
    try:
        yield _submitted(rig, _LARGE), lambda job: None
    finally:
        # The trainer may be another by now: a thread that finds no memory to begin with can leave its starter waiting for ever.
        with suppress(ProcessLookupError):
            resource.prlimit(trainer, resource.RLIMIT_AS, (hard, hard))


def _warm_trainer(rig: Rig) -> int:
    """The trainer that has just trained something: one that is coming up would die of the limit before it had a job."""
    assert _ended(rig, _submitted(rig, SMALL)).state is JobState.SUCCEEDED
    return rig.pid(Role.TRAINER)


@contextmanager
def _with_bad_data(rig: Rig, folder: Path) -> Iterator[tuple[str, Look]]:
    whole = (folder / _IMAGES).read_bytes()
    (folder / _IMAGES).write_bytes(whole[: len(whole) // 2])
    try:
        yield _submitted(rig, _OF_CLOTHES), lambda job: None
    finally:
        (folder / _IMAGES).write_bytes(whole)


@contextmanager
def _hung(rig: Rig, folder: Path) -> Iterator[tuple[str, Look]]:
    """A file that cannot be opened while we hold a lease on it: each trainer hangs in open(), for as long as the kernel waits."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # how the kernel asks us to let go
    held = os.open(folder / _IMAGES, os.O_RDWR)
    attempts: set[int] = set()

    def look(job: Job) -> None:
        # The kernel waits for 45 s only, from the first to ask; so it is a new lease for each attempt.
        if job.state is JobState.QUEUED and job.attempt not in attempts:
            fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_UNLCK)
            fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            attempts.add(job.attempt)

    try:
        fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield _submitted(rig, _OF_CLOTHES), look
    finally:
        os.close(held)
        signal.signal(signal.SIGIO, before)


@contextmanager
def _of_another_version(rig: Rig) -> Iterator[tuple[str, Look]]:
    """A spec that this version cannot read: it is put into the row while the only worker is busy."""
    busy = _submitted(rig, LONG)
    rig.until(lambda: row(rig, busy).state is JobState.RUNNING, f"{busy} to run")
    job_id = _submitted(rig, SMALL)
    spec = row(rig, job_id).spec
    spec["model"]["kind"] = "perceptron"
    table = tables.jobs
    with rig.store.write() as connection:
        connection.execute(update(table).where(table.c.id == job_id).values(spec=spec, version=table.c.version + 1))
    jobs.cancel(rig.store, "default", busy)
    yield job_id, lambda job: None
    _ended(rig, busy)


@contextmanager
def _rotten(rig: Rig) -> Iterator[tuple[str, Look]]:
    """Not one of a job's checkpoints is whole when it must go on."""
    job_id = _submitted(rig, LONG)
    rig.until(lambda: row(rig, job_id).checkpoint_seq > 1, f"two checkpoints of {job_id}")
    trainer = rig.pid(Role.TRAINER)
    os.kill(trainer, signal.SIGSTOP)
    time.sleep(1)  # what the trainer has told already is stored
    for file in (rig.artifacts / job_id).rglob("*"):
        if file.is_file():
            file.write_bytes(b"rotten")
    kill(trainer)
    yield job_id, lambda job: None


POISONS: Final[MappingProxyType[str, tuple[str, Harm]]] = MappingProxyType({
    "segfault": ("crash_loop", lambda rig, _: _struck(rig, signal.SIGSEGV)),
    "killed": ("crash_loop", lambda rig, _: _struck(rig, signal.SIGKILL)),
    "no memory": ("out_of_memory", lambda rig, _: _without_memory(rig)),
    "not a number": ("diverged", lambda rig, _: _given(rig, _DIVERGING)),
    "bad data": ("data_invalid", _with_bad_data),
    "another version": ("spec_invalid", lambda rig, _: _of_another_version(rig)),
    "rotten": ("artifact_corrupt", lambda rig, _: _rotten(rig)),
    "hang": ("stalled", _hung),
})  # fmt: skip
"""By name: the failure code that a job must end with, and the harm."""

"""What a fake worker does, and when: all that a real one sends to the store, and nothing else of what it does.

It trains nothing and writes no artifact. Its times are set in advance, so that a slow store makes it late, not slow.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from contract.events import Data, EpochDone, File, Machine, Progress, Started
from contract.job import Job, Json
from contract.store import Store, checkpoints, leases, workers
from contract.store.leases import Lease
from worker.telling import News

PULSE_SECONDS: Final = 2.0
_VALUES: Final = ("loss", "accuracy", "penalty.l1", "penalty", "objective")
_DIGEST: Final = "0" * 64
_DATA: Final = Data(
    name="fashion-mnist", source="shipped_subset", sha256=_DIGEST, train_rows=54_000, validation_rows=6_000, test_rows=10_000
)
_MACHINE: Final = Machine(device="cpu", precision="float32", threads=1, cpu_capability="AVX2", torch="2.15.0")
_FILES: Final = [File(name=name, size_bytes=1_700_000, sha256=_DIGEST) for name in ("model.safetensors", "state.safetensors", "state.json")]


class Deed(StrEnum):
    """What a worker sends to the store."""

    CLAIM = "claim"
    RENEW = "renew"
    CHECKPOINT = "checkpoint"
    SUCCEED = "succeed"
    PULSE = "pulse"


@dataclass(frozen=True, slots=True)
class Course:
    """What a job is like, and the settings of its worker."""

    epochs: int = 10
    reports: int = 5
    """Of steps within an epoch, besides the epoch's own."""
    renew_seconds: float = 0.5
    poll_seconds: float = 2.0
    lease_seconds: float = 60.0

    @property
    def renewals(self) -> int:
        """Of a job: one for each report, as the trainer reports at the pace of the renewals; one for each epoch, and one for its start."""
        return 1 + self.epochs * (self.reports + 1)

    @property
    def seconds(self) -> float:
        """From claim to end."""
        return self.renewals * self.renew_seconds


@dataclass
class Worker:
    """One of many. `due` is when it next has something to send, on the clock of the run; `job` what it holds."""

    id: str
    due: float
    pulse_due: float
    job: Job | None = None
    renewed_at: float | None = None
    """When the last renewal, or the claim, was answered: the lease runs from there."""
    _news: News = field(default_factory=lambda: News({}))
    _told: int = 0

    @property
    def next_due(self) -> float:
        return min(self.due, self.pulse_due)

    def deed(self, store: Store, course: Course) -> Iterator[tuple[Deed, Callable[[], object]]]:
        """What is due, each with its name; sets when the next is due."""
        if self.pulse_due < self.due:
            self.pulse_due += PULSE_SECONDS
            yield Deed.PULSE, lambda: self._pulse(store)
        elif self.job is None:
            self.due += course.poll_seconds
            yield Deed.CLAIM, lambda: self._claim(store, course)
        else:
            self.due += course.renew_seconds
            yield from self._train(store, course, Lease(self.job.id, self.job.fence))

    def _train(self, store: Store, course: Course, lease: Lease) -> Iterator[tuple[Deed, Callable[[], object]]]:
        epoch, report = divmod(self._told - 1, course.reports + 1)
        self._told += 1
        if self._told <= course.renewals:  # beyond, a last renewal that had no answer is sent again
            self._happen(course, epoch, report)
        yield Deed.RENEW, lambda: self._renew(store, course, lease)
        if 1 < self._told <= course.renewals and report == course.reports:
            yield Deed.CHECKPOINT, lambda: checkpoints.record(store, lease, _draft(lease, epoch + 1, self._told))
        if self._told >= course.renewals:
            yield Deed.SUCCEED, lambda: leases.succeed(store, lease, _result(course))
            self.job = None

    def _happen(self, course: Course, epoch: int, report: int) -> None:
        """What the trainer says between two renewals."""
        values = {f"train.{name}": 1 / (self._told + index) for index, name in enumerate(_VALUES)} | {
            "lr": 1e-3,
            "samples_per_second": 9431.7,
        }
        if self._told == 1:
            self._news.add(Started(data=_DATA, machine=_MACHINE, parameters=421_642, steps=course.renewals, step=0, epoch=0))
        elif report < course.reports:
            self._news.add(Progress(epoch=epoch + 1, step=self._told, metrics=values))
        else:
            values |= {"val.loss": 1 / self._told, "val.accuracy": 0.91, "weights.zeros": 0.0}
            self._news.add(EpochDone(epoch=epoch + 1, step=self._told, seconds=3.0, metrics=values))

    def _pulse(self, store: Store) -> None:
        state: workers.State = "busy" if self.job else "idle"
        workers.seen(
            store, worker_id=self.id, host="host", pid=1, state=state, device="cpu", versions={"ridgeline": "0", "torch": "2.15.0"}
        )

    def _claim(self, store: Store, course: Course) -> None:
        self.job = leases.claim(store, self.id, "cpu", course.lease_seconds, on=_MACHINE.machine_class())
        if self.job is not None:
            self.due += course.renew_seconds - course.poll_seconds
            self._news, self._told = News({}), 0

    def _renew(self, store: Store, course: Course, lease: Lease) -> None:
        batch = self._news.batch()
        leases.renew(store, lease, course.lease_seconds, batch.report, batch.notes, batch.samples, batch.number)
        self._news.told()


def _draft(lease: Lease, epoch: int, step: int) -> checkpoints.Draft:
    return checkpoints.Draft(epoch, step, {"val.loss": 1 / step}, False, f"{lease.job_id}/{lease.fence}/{step}", _FILES)


def _result(course: Course) -> Json:
    """As long as a real one: a confusion of ten classes, figures of each layer, versions and timings."""
    metrics = {f"{of}.{name}": 0.123456789 for of in ("train", "val", "test") for name in _VALUES}
    layer = {"name": "conv1.weight", "shape": [32, 1, 3, 3], "zeros": 0.0, "norm": 3.14159, "pruned": 0}
    return {
        "stop_reason": "epochs",
        "epochs": course.epochs,
        "metrics": metrics,
        "best_metrics": metrics,
        "confusion": [[100] * 10] * 10,
        "layers": [layer] * 8,
        "data": _DATA.model_dump(),
        "machine": _MACHINE.model_dump(),
        "versions": dict.fromkeys(("python", "torch", "numpy", "ridgeline"), "1.2.3"),
        "timings": {"queue": 0.1, "start": 0.2, "train": course.seconds},
    }

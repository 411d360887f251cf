"""The checkpoint torture: every call that writes one dies, loses its power or finds no space, and every file of one rots."""

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final
from unittest import mock

import torch

from contract import errors, events
from contract.artifacts import LocalFolder
from contract.job import Job
from contract.lifecycle import JobState
from contract.store.checkpoints import Checkpoint
from contract.store.leases import Lease
from tests.faults.disk import END, Disk, Fault, calls_watched, dies, strikes
from tests.faults.report import Report
from tests.worker.training import jobs
from worker import storage
from worker.training import checkpoint, folder
from worker.training.faults import ArtifactCorruptError

HARD: Final[dict[str, Any]] = {
    "dataset": jobs.TINY | {"augment": {"flip": 0.5}},
    "averaging": {"kind": "ema"},
    "penalties": [{"kind": "l1", "lambda": 1e-3}],
}
FILES: Final = ("model.safetensors", "trainer.safetensors", "state.json", "manifest.json")
STORED: Final = b"what is to be stored"
DAMAGES: Final = ("flip", "truncate", "grow", "remove", "empty")
REFUSED: Final = (ArtifactCorruptError, errors.ArtifactCorruptError, errors.ArtifactsUnavailableError)


@dataclass(frozen=True)
class Case:
    """One thing that goes wrong: at call `at` of a deed, or (`fault` None) with a file that lies there."""

    deed: str
    fault: Fault | None
    at: int


def torture(scale: int, seed: int, database: str = "none", *, only: str | None = None) -> Report:
    """So many cases: first every fault at every call, then of four three files that rot and one such fault again, as `seed` draws
    them. `only` those of one deed, or of rot."""
    report, rng, began = Report("checkpoint torture", seed=seed), Random(seed), time.monotonic()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # what runs in a forked process must not wait for the threads of this one
    try:
        # What a flush is worth is the watched disk's to say; this machine's own need not wait for each.
        with tempfile.TemporaryDirectory(prefix="rl-torture-") as home, mock.patch.object(os, "fsync"):
            world = World(Path(home), rng)
            for number, case in enumerate(case for case in _cases(world, scale, rng) if only in {None, case.deed}):
                report.add(case.fault or "rot")
                report.violations += [f"case {number}, {case}: {breach}" for breach in world.meets(case)]
    finally:
        torch.set_num_threads(threads)
    report.seconds = time.monotonic() - began
    return report


def _cases(world: "World", scale: int, rng: Random) -> list[Case]:
    every = [Case(deed, fault, at) for deed, calls in world.calls.items() for at, call in enumerate(calls) for fault in strikes(call)]
    rng.shuffle(every)
    drawn = [rng.choice(every) if rng.random() < 0.25 else Case("rot", None, at) for at in range(max(0, scale - len(every)))]
    return (every + drawn)[:scale]


class World:
    """A job with two checkpoints, of which the second is being written, stored or fetched when it happens."""

    def __init__(self, home: Path, rng: Random) -> None:
        self._home, self._rng, self._number = home, rng, 0
        self._ends: dict[str, str] = {}
        run = jobs.run(home / "whole", **HARD)
        self.expected = _weights(home / "whole", jobs.said(run))
        self.contents = [self._taken(step) for step in (3, 5)]
        self._rows = [_row(seq, written) for seq, written in enumerate(self._written(home / "rows"), start=1)]
        self.deeds: dict[str, Callable[[Path], Callable[[], object]]] = {
            "write": self._writing,
            "put": self._putting,
            "upload": self._uploading,
            "fetch": self._fetching,
        }
        self.calls = {deed: self._counted(deed) for deed in self.deeds}
        """What each deed calls when nothing happens to it, and its end."""

    def meets(self, case: Case) -> list[str]:
        """Has it happen. Returns what is wrong after it."""
        place = self._place()
        if case.fault is None:
            return self._rots(place)
        act = self.deeds[case.deed](place)
        if case.fault is not Fault.FULL:
            dies(act, case.fault, case.at)
        else:
            with suppress(OSError, errors.ArtifactsUnavailableError), calls_watched(Disk(case.fault, case.at)):
                act()
        judge: Callable[..., list[str]] = getattr(self, f"_after_{case.deed}")
        return judge(place, act, is_full=case.fault is Fault.FULL, is_over=case.at == len(self.calls[case.deed]) - 1)

    def _counted(self, deed: str) -> list[str]:
        act = self.deeds[deed](self._place())
        with calls_watched(Disk()) as disk:
            act()
        return [*disk.calls, END]

    # The trainer writes it.

    def _writing(self, place: Path) -> Callable[[], object]:
        folder.write(place / "older", self.contents[0])
        return lambda: folder.write(place / "newer", self.contents[1])

    def _after_write(self, place: Path, again: Callable[[], object], *, is_full: bool, is_over: bool) -> list[str]:
        breaches = self._is(place / "older", 0)
        left = [path.name for path in place.iterdir()]
        if "newer" in left:
            breaches += self._is(place / "newer", 1)
        elif is_full and left != ["older"]:
            breaches.append(f"a full disk is kept full by {left}")
        breaches += [f"{path} vouches for what is not there" for path in place.glob("*/manifest.json") if not _vouches(path.parent)]
        if "newer" not in left:
            breaches += ["what was written is gone"] if is_over else []
            again()
            breaches += self._is(place / "newer", 1)
        return breaches

    # The worker stores it.

    def _putting(self, place: Path) -> Callable[[], object]:
        artifacts, source = LocalFolder(place / "artifacts"), place / "source"
        source.write_bytes(STORED)
        return lambda: artifacts.put("a/b", source, _sha256(STORED))

    def _after_put(self, place: Path, again: Callable[[], object], *, is_full: bool, is_over: bool) -> list[str]:
        artifacts = LocalFolder(place / "artifacts")
        found = b"".join(artifacts.read("a/b")) if (place / "artifacts" / "a" / "b").exists() else None
        may_be = {STORED} if is_over else {None, STORED}
        breaches = [] if found in may_be else [f"neither whole nor away: {found!r}"]
        if (listed := [one.key for one in artifacts.list()]) != ["a/b"] * (found is not None):
            breaches.append(f"listed: {listed}")
        if is_full and (left := list((place / "artifacts").rglob(".*"))):
            breaches.append(f"a full disk is kept full by {left}")
        try:
            again()
        except REFUSED as error:
            return [*breaches, f"could not be stored again: {error}"]
        return breaches if b"".join(artifacts.read("a/b")) == STORED else [*breaches, "could not be stored again"]

    def _uploading(self, place: Path) -> Callable[[], object]:
        artifacts, (older, newer) = LocalFolder(place / "artifacts"), self._written(place)
        storage.upload(artifacts, LEASE, place / "scratch", older)
        return lambda: storage.upload(artifacts, LEASE, place / "scratch", newer)

    def _after_upload(self, place: Path, again: Callable[[], object], *, is_full: bool, is_over: bool) -> list[str]:
        """The job points at the older one until the upload is over; a full disk is met again by the same worker, in the same folder."""
        artifacts, rows = LocalFolder(place / "artifacts"), self._rows
        breaches = self._fetches(artifacts, rows if is_over else rows[:1], place / "then", int(is_over))
        if (place / "scratch" / "newer" / "manifest.json").exists() and _vouches(place / "scratch" / "newer"):
            again()
            breaches += self._fetches(artifacts, rows, place / "later", 1)
        return breaches

    # The next worker fetches it.

    def _fetching(self, place: Path) -> Callable[[], object]:
        artifacts = self._stored(place)
        return lambda: storage.fetch_newest(artifacts, JOB, self._rows, place / "resumed")

    def _after_fetch(self, place: Path, again: Callable[[], object], *, is_full: bool, is_over: bool) -> list[str]:
        return self._fetches(LocalFolder(place / "artifacts"), self._rows, place / "again", 1)

    # It rots where it lies.

    def _rots(self, place: Path) -> list[str]:
        name, damage = self._rng.choice(FILES), self._rng.choice(DAMAGES)
        if self._rng.random() < 0.5:
            folder.write(place / "newer", self.contents[1])
            _damage(place / "newer" / name, damage, self._rng)
            return [f"{damage} of {name}: {breach}" for breach in self._is(place / "newer", 1, or_refused=True)]
        artifacts = self._stored(place)
        _damage(place / "artifacts" / "job_a" / "1" / "newer" / name, damage, self._rng)
        both = self._rng.random() < 0.2
        if both:
            _damage(place / "artifacts" / "job_a" / "1" / "older" / name, damage, self._rng)
        try:
            found, broken = storage.fetch_newest(artifacts, JOB, self._rows, place / "resumed")
        except REFUSED as error:
            return [] if both else [f"{damage} of {name}: refused though the one before is whole: {error}"]
        assert found
        breaches = [] if len(broken) == 1 else [f"told of {len(broken)} broken ones"]
        return [f"{damage} of {name}, in the store: {breach}" for breach in breaches + self._is(found, 0)]

    # What is there in the end, and whether it is good.

    def _fetches(self, artifacts: LocalFolder, rows: Sequence[Checkpoint], scratch: Path, wanted: int) -> list[str]:
        found, broken = storage.fetch_newest(artifacts, JOB, rows, scratch)
        return [*broken, *(self._is(found, wanted) if found else ["nothing to resume from"])]

    def _is(self, place: Path, which: int, *, or_refused: bool = False) -> list[str]:
        """What is wrong with the checkpoint at `place`, which should be the first or the second."""
        try:
            standing = checkpoint.read(place).state.standing
        except ArtifactCorruptError as error:
            return [] if or_refused else [f"{place.name} is refused: {error}"]
        except Exception as error:
            return [f"bad bytes were loaded from {place.name}: {error!r}"]
        if (standing.epoch, standing.batch) != ((1, 0), (1, 2))[which]:
            return [f"{place.name} stands at {standing.epoch}, {standing.batch}"]
        return [] if self._end(place) == self.expected else [f"bad bytes were loaded: {place.name} does not end as the uninterrupted job"]

    def _end(self, source: Path) -> str:
        """The SHA-256 of the weights that a job resumed from `source` ends with. The same bytes are resumed from once."""
        key = _sha256(b"".join(_sha256((source / name).read_bytes()).encode() for name in FILES))
        if key not in self._ends:
            scratch = self._place()
            try:
                self._ends[key] = _weights(scratch, jobs.said(jobs.run(scratch, source, **HARD)))
            except Exception as error:
                self._ends[key] = repr(error)
        return self._ends[key]

    def _taken(self, step: int) -> dict[str, bytes]:
        run = jobs.run(self._place(), **HARD)
        going = jobs.to_step(run, step)
        while step == 3 and run.standing.batch:
            next(going)
        return checkpoint.contents(checkpoint.take(run, "a", interim=False))

    def _written(self, place: Path) -> list[events.CheckpointWritten]:
        return [
            events.CheckpointWritten(
                folder=name, epoch=1, step=step, files=folder.write(place / "scratch" / name, self.contents[index]), metrics={}
            )
            for index, (name, step) in enumerate((("older", 3), ("newer", 5)))
        ]

    def _stored(self, place: Path) -> LocalFolder:
        artifacts = LocalFolder(place / "artifacts")
        for written in self._written(place):
            storage.upload(artifacts, LEASE, place / "scratch", written)
        return artifacts

    def _place(self) -> Path:
        self._number += 1
        made = self._home / str(self._number)
        made.mkdir()
        return made


JOB: Final = Job(
    id="job_a", tenant="t", name=None, metadata={}, spec={}, spec_sha256="", state=JobState.RUNNING, queue_deadline_at=0.0, fence=1
)
LEASE: Final = Lease(JOB.id, 1)


def _weights(scratch: Path, told: Sequence[events.Event]) -> str:
    written = [event for event in told if isinstance(event, events.CheckpointWritten)]
    return next(file.sha256 for file in written[-1].files if file.name == "model.safetensors")


def _row(seq: int, one: events.CheckpointWritten) -> Checkpoint:
    """What the database says is stored."""
    return Checkpoint(one.folder, JOB.id, 1, seq, 1, one.step, {}, None, f"{JOB.id}/1/{one.folder}", one.files, 0, False, 0.0)


def _vouches(place: Path) -> bool:
    """Whether every file that the manifest names is there byte for byte; a manifest that cannot be read names none."""
    try:
        _honest_read(place)
    except ArtifactCorruptError as error:
        return "manifest.json cannot be read" in str(error)
    return True


_honest_read: Final = folder.read


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _damage(path: Path, how: str, rng: Random) -> None:
    content = bytearray(path.read_bytes())
    match how:
        case "flip":
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        case "truncate":
            del content[rng.randrange(len(content)) :]
        case "grow":
            content += rng.randbytes(rng.randint(1, 64))
        case "empty":
            content.clear()
        case _:
            path.unlink()
            return
    path.write_bytes(content)

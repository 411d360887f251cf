"""Checkpoints are written beside the training, at a pace that costs it little, and what is kept is what a writer without pace leaves."""

import errno
import random
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import torch

from contract import events
from contract.spec.limits import Checkpoints
from tests.worker.training import jobs
from worker.training import checkpoint, folder
from worker.training import saver as savers
from worker.training.faults import DivergedError
from worker.training.fit import fit
from worker.training.said import TICK, Said
from worker.training.saver import Saver
from worker.training.waiting import Waiting

ALL_KEPT = {"keep_last": 100, "keep_best": 1}


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Event]:
    """A disk that is busy until it is set."""
    opened, really = Event(), folder.write

    def wait(*arguments: Any) -> Any:
        opened.wait()
        return really(*arguments)

    monkeypatch.setattr(folder, "write", wait)
    yield opened
    opened.set()


@pytest.fixture
def prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that has done its part before training goes on, however busy the machine is."""

    def start(write: savers._Write) -> None:
        Thread.start(write)
        write.join()

    monkeypatch.setattr(savers._Write, "start", start)


def _written(told: Iterable[Said]) -> list[events.CheckpointWritten]:
    return [event for event in told if isinstance(event, events.CheckpointWritten)]


def test_training_goes_on_while_a_checkpoint_is_written_and_it_holds_the_moment_it_was_taken(tmp_path: Path, gate: Event) -> None:
    run = jobs.run(tmp_path / "slow", model=jobs.CONVOLUTIONAL, epochs=2, averaging={"kind": "ema"})
    going = fit(run)
    while run.step < 5:
        next(going)
    assert not list(tmp_path.glob("slow/*")), "the first epoch's checkpoint is not written yet"
    gate.set()
    list(going)

    halted = jobs.run(tmp_path / "halted", model=jobs.CONVOLUTIONAL, epochs=2, averaging={"kind": "ema"})
    halting = fit(halted)
    while not halted.standing.checkpoint_due:
        next(halting)
    expected = checkpoint.take(halted, "step-00000003", interim=False)
    found = checkpoint.read(tmp_path / "slow" / "step-00000003")
    for ours, theirs in ((expected.model, found.model), (expected.trainer, found.trainer)):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_snapshot_shares_no_memory_with_the_run(tmp_path: Path) -> None:
    run = jobs.run(tmp_path, model=jobs.CONVOLUTIONAL, averaging={"kind": "ema"})
    jobs.to_step(run, 2)
    snapshot = checkpoint.take(run, "a", interim=True)
    before = checkpoint.contents(snapshot)

    jobs.said(run)

    assert checkpoint.contents(snapshot) == before


def test_at_most_one_write_is_under_way_and_they_come_oldest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    under_way: list[str] = []
    really = folder.write

    def watch(target: Path, contents: Any) -> Any:
        assert not under_way
        under_way.append(target.name)
        files = really(target, contents)
        under_way.remove(target.name)
        return files

    monkeypatch.setattr(folder, "write", watch)
    run = jobs.run(tmp_path, epochs=6, checkpoints=ALL_KEPT)
    told = [said for said in fit(run, Saver(run, share=1.0)) if isinstance(said, events.CheckpointWritten)]

    assert [event.step for event in told] == [3, 6, 9, 12, 15, 18]


def test_after_a_write_the_next_waits_until_it_has_cost_a_fiftieth_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, really = [0.0], checkpoint.put

    def slow(*arguments: Any) -> Any:
        now[0] += 2.0
        return really(*arguments)

    monkeypatch.setattr(savers, "monotonic", lambda: now[0])
    monkeypatch.setattr(checkpoint, "put", slow)
    run = jobs.run(tmp_path)
    saver = Saver(run, interim_seconds=1e9)
    said: list[int] = []
    for moment in (0, 50, 99, 100, 101, 300):
        now[0] = max(now[0], float(moment))
        run.standing.batch = moment
        saver.take()
        said += [event.step for event in saver._attend()]
        if saver._write:
            saver._write.join()
        said += [event.step for event in saver._attend()]

    # Begun at 0 and over at 2, the next may begin at 100, and the one after it at 200; of what waits by then the last two are wanted.
    assert said == [0, 99, 101]


def test_copies_count_in_the_time_that_saving_may_take_all_that_were_made_since_the_last_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prompt: None
) -> None:
    now, really = [0.0], checkpoint.take

    def slow(*arguments: Any, **named: Any) -> Any:
        now[0] += 1.0
        return really(*arguments, **named)

    monkeypatch.setattr(savers, "monotonic", lambda: now[0])
    monkeypatch.setattr(checkpoint, "take", slow)
    run = jobs.run(tmp_path)
    saver = Saver(run, interim_seconds=1e9, share=0.02)

    def written_at(moment: float) -> list[int]:
        now[0] = moment
        return [event.step for _ in ("begun", "over") for event in saver._attend()]

    def take(step: int) -> None:
        run.standing.batch = step
        saver.take()

    take(1)
    assert written_at(1.0) == [1]
    take(2)
    take(3)
    # The first cost one second of copying, begun at 1; the second costs the two seconds of both copies that were made before it.
    assert (written_at(50.9), written_at(51.0)) == ([], [2])
    assert (written_at(150.9), written_at(151.0)) == ([], [3])


def test_a_long_evaluation_is_saved_once_since_no_step_is_done_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prompt: None) -> None:
    now = [0.0]
    monkeypatch.setattr(savers, "monotonic", lambda: now[0])
    run = jobs.run(tmp_path)
    saver = Saver(run, interim_seconds=300.0, share=1.0)

    def evaluation() -> Generator[Said, None, None]:
        run.standing.batch = 2
        for _ in range(5):
            now[0] += 1_000.0
            yield TICK
        run.standing.batch = 3
        yield TICK

    said = _written(saver.alongside(evaluation()))
    assert [(event.step, event.interim) for event in said] == [(2, True), (3, True)]


def test_a_job_of_many_short_epochs_writes_few_checkpoints_and_still_its_last_ones_and_its_best(tmp_path: Path) -> None:
    run = jobs.run(tmp_path, epochs=400, optimizer={"kind": "gd"}, batch_size="full", checkpoints={"keep_last": 3})

    written = _written(jobs.said(run))

    assert len(written) < 100
    assert [event.epoch for event in written[-3:]] == [398, 399, 400]
    assert run.standing.best_epoch in [event.epoch for event in written]
    assert run.watch.seconds["checkpoint"] > 0


def test_snapshots_never_wait_in_more_memory_than_they_may(tmp_path: Path) -> None:
    run = jobs.run(tmp_path, epochs=6, checkpoints=ALL_KEPT, optimizer={"kind": "sgd"})
    size = checkpoint.take(run, "a", interim=True).size_bytes
    saver = Saver(run, share=1e-9, most_bytes=2 * size)
    most = 0
    for _ in fit(run, saver):
        most = max(most, saver._waiting.size_bytes)

    assert most == 2 * size
    assert len(list(tmp_path.iterdir())) == 6


def test_a_write_that_failed_is_raised_at_a_later_step_and_nothing_is_written_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    run = jobs.run(tmp_path, epochs=1000)
    with monkeypatch.context() as patch:
        patch.setattr(folder, "_write", full)
        with pytest.raises(OSError, match="No space left"):
            jobs.said(run)

    assert run.step < 3000
    assert list(tmp_path.iterdir()) == []


def test_what_waits_behind_a_write_that_failed_is_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    run = jobs.run(tmp_path)
    saver = Saver(run)
    for batch in (1, 2):
        run.standing.batch = batch
        saver.take()
    with monkeypatch.context() as patch:
        patch.setattr(folder, "write", full)
        with pytest.raises(OSError, match="No space left"):
            list(saver.flush())

    assert list(saver.flush()) == [], "the disk has room again, and there is nothing left to write"
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_at_the_very_end_is_not_a_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(target: Path, contents: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(folder, "write", full)
    with pytest.raises(OSError, match="No space left"):
        jobs.said(jobs.run(tmp_path, epochs=1, dataset=jobs.TINY | {"validation_fraction": 0}))


def test_a_job_that_fails_leaves_every_checkpoint_that_was_due_before(tmp_path: Path) -> None:
    run = jobs.run(tmp_path, epochs=3)
    going = fit(run, Saver(run, share=1e-9))
    while run.step < 7:
        next(going)
    assert not (tmp_path / "step-00000006").exists()
    run.named["fc2.bias"].register_hook(lambda gradient: gradient * float("nan"))

    said = []
    with pytest.raises(DivergedError):
        said.extend(going)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000003", "step-00000006"]
    assert _written(said)[-1].step == 6


def test_a_run_that_has_gone_wrong_is_not_copied(tmp_path: Path) -> None:
    run = jobs.run(tmp_path)
    jobs.to_step(run, 1)
    run.latch.hold(2, torch.tensor(float("nan")), run.latch.norms)

    with pytest.raises(DivergedError):
        list(Saver(run).end())
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_left_writes_what_waits_and_last_itself(tmp_path: Path) -> None:
    run = jobs.run(tmp_path, epochs=5, checkpoints=ALL_KEPT)
    saver = Saver(run, share=1e-9)
    said: list[Any] = []
    for event in fit(run, saver):
        said.append(event)
        if run.step == 8:
            said += saver.end()
            break

    assert [(event.step, event.interim) for event in _written(said)] == [(3, False), (6, False), (8, True)]


def test_a_run_that_is_dropped_waits_for_the_write_under_way_and_for_no_other(tmp_path: Path, gate: Event) -> None:
    run = jobs.run(tmp_path, epochs=5, checkpoints=ALL_KEPT)
    going = fit(run)
    while run.step < 8:
        next(going)
    gate.set()

    going.close()

    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]


def test_a_long_epoch_is_saved_in_its_middle_and_no_snapshot_of_it_waits_beside_a_newer_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prompt: None
) -> None:
    fields: dict[str, Any] = {"epochs": 2, "batch_size": 4}
    whole = jobs.run(tmp_path / "whole", **fields)
    jobs.said(whole)
    run = jobs.run(tmp_path / "first", **fields)
    # A step takes a minute, and so does a write: at a fifth of the time one begins with every fourth step.
    spent, really = [0.0], checkpoint.put

    def slow(*arguments: Any) -> Any:
        spent[0] += 60.0
        return really(*arguments)

    monkeypatch.setattr(savers, "monotonic", lambda: 60.0 * run.step + spent[0])
    monkeypatch.setattr(checkpoint, "put", slow)
    saver = Saver(run, interim_seconds=60.0, share=0.2)
    told = _written(fit(run, saver))
    interim = [event for event in told if event.interim]

    assert [event.step for event in told if not event.interim] == [10, 20]
    # The turn of step 13 goes to the epoch's own, which has waited since step 10; no other is older than its turn.
    assert [event.step for event in interim] == [1, 5, 9, 17]
    for event in (interim[0], interim[-1]):
        resumed = jobs.run(tmp_path / f"after-{event.step}", tmp_path / "first" / event.folder, **fields)
        jobs.said(resumed)
        assert jobs.bits(resumed) == jobs.bits(whole)


def test_no_interim_checkpoint_is_taken_before_its_time(tmp_path: Path) -> None:
    run = jobs.run(tmp_path, batch_size=4)

    assert not any(event.interim for event in _written(jobs.said(run)))


def _snapshot(example: checkpoint.Snapshot, step: int, value: float | None, *, interim: bool = False) -> checkpoint.Snapshot:
    metrics = {} if value is None else {"val.loss": value}
    return replace(example, step=step, interim=interim, standing=example.standing.model_copy(update={"metrics": metrics}))


def _retained(written: list[checkpoint.Snapshot], policy: Checkpoints) -> set[int]:
    """What the store keeps of checkpoints recorded one by one, by the rules of `contract.store.checkpoints`, written out plainly."""
    kept: list[checkpoint.Snapshot] = []
    best: checkpoint.Snapshot | None = None

    def score(snapshot: checkpoint.Snapshot) -> float | None:
        value = snapshot.standing.metrics[policy.monitor]
        return None if value != value else value if policy.mode == "max" else -value

    for snapshot in written:
        kept.insert(0, snapshot)
        found = score(snapshot)
        if found is not None and (best is None or found > (score(best) or 0.0)):
            best = snapshot
        scored = sorted((one for one in kept if score(one) is not None), key=lambda one: score(one) or 0.0, reverse=True)
        wanted = {id(one) for one in [*kept[: policy.keep_last], *scored[: policy.keep_best], *([best] if best else [])]}
        kept = [one for one in kept if id(one) in wanted]
    return {one.step for one in kept}


@pytest.mark.parametrize("seed", range(4))
def test_what_is_kept_in_the_end_is_what_a_writer_without_pace_leaves(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    example = checkpoint.take(jobs.run(tmp_path), "a", interim=False)
    for _ in range(250):
        policy = Checkpoints(keep_last=draw.randint(1, 4), keep_best=draw.randint(1, 4), mode=draw.choice(["min", "max"]))
        values = [draw.choice([1.0, 2.0, 3.0, 4.0, 5.0, float("nan"), float("inf")]) for _ in range(draw.randint(1, 20))]
        due = [_snapshot(example, step, value) for step, value in enumerate(values)]
        waiting, written = Waiting(policy), []
        for snapshot in due:
            waiting.add(snapshot)
            while waiting and draw.random() < 0.3:
                written.append(waiting.oldest())
        while waiting:
            written.append(waiting.oldest())

        assert [one.step for one in written] == sorted(one.step for one in written)
        assert _retained(written, policy) == _retained(due, policy), f"seed {seed}: {values} under {policy}"


def test_of_interim_snapshots_only_the_newest_waits_and_only_until_a_newer_one(tmp_path: Path) -> None:
    example = checkpoint.take(jobs.run(tmp_path), "a", interim=False)
    waiting = Waiting(Checkpoints(keep_last=1, keep_best=1))
    waiting.add(_snapshot(example, 1, 5.0))
    waiting.add(_snapshot(example, 2, 1.0, interim=True))
    waiting.add(_snapshot(example, 3, 1.0, interim=True))
    assert [one.step for one in waiting._snapshots] == [1, 3], "an interim one is neither the last nor the best of the policy"

    waiting.add(_snapshot(example, 4, 6.0))

    assert [one.step for one in waiting._snapshots] == [1, 4]

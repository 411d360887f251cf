"""A job that is extended goes on where the one it extends ended, and a retried one where its checkpoint was."""

from pathlib import Path
from typing import Any

import pytest

from contract import events
from contract.events import FailureCode
from contract.spec import schedules
from tests.worker.training import jobs
from worker.training import build, checkpoint
from worker.training.faults import ArtifactCorruptError, TrainingError
from worker.training.run import Run
from worker.training.schedules import looks_ahead

HARD: dict[str, Any] = {
    "dataset": jobs.TINY | {"channels": 2, "augment": {"flip": 0.5, "crop": 1}},
    "model": jobs.CONVOLUTIONAL,
    "penalties": [{"kind": "l1", "lambda": 1e-3, "warmup_epochs": 1.5}],
    "averaging": {"kind": "ema"},
}
OPTIMIZERS: dict[str, dict[str, Any]] = {"adam": {"kind": "adam", "lr": 0.01}, "momentum": {"kind": "sgd", "lr": 0.05, "momentum": 0.9}}


def _extended(tmp_path: Path, parent: int, epochs: int, **fields: Any) -> tuple[Run, list[events.Event]]:
    """A job of `parent` epochs, and one of `epochs` that goes on from its last checkpoint."""
    run = jobs.run(tmp_path / "parent", epochs=parent, **fields)
    jobs.said(run)
    source = tmp_path / "parent" / f"step-{run.step:08d}"
    extended = build.run(jobs.spec(epochs=epochs, **fields), tmp_path / "extended", source, begun_with_epochs=parent)
    return extended, jobs.said(extended)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    "schedule", [{"kind": "constant"}, {"kind": "step", "step_epochs": 1, "gamma": 0.5}, {"kind": "plateau", "patience": 0}], ids=str
)
def test_a_job_extended_ends_as_one_of_all_its_epochs_to_the_bit(tmp_path: Path, optimizer: str, schedule: dict[str, Any]) -> None:
    fields = {**HARD, "optimizer": OPTIMIZERS[optimizer], "schedule": schedule}
    whole = jobs.run(tmp_path / "whole", epochs=4, **fields)
    expected = jobs.result(whole)

    extended, told = _extended(tmp_path, 2, 4, **fields)

    assert jobs.bits(extended) == jobs.bits(whole)
    assert isinstance(told[0], events.Started)
    assert (told[0].step, told[0].steps, told[0].epoch) == (6, 12, 2)
    assert [event.step for event in told if isinstance(event, events.CheckpointWritten)] == [9, 12]
    assert not [event for event in told if isinstance(event, events.Warned)]
    assert isinstance(told[-1], events.Finished)
    found = told[-1].result
    assert (found.resumed_at_steps, found.bitwise) == ((6,), True)
    assert (found.best_epoch, found.stop_reason) == (expected.best_epoch, expected.stop_reason)
    assert found.lineage == expected.lineage


def test_a_checkpoint_that_only_the_parents_end_asked_for_leaves_nothing_due(tmp_path: Path) -> None:
    policy = {"every_epochs": 100, "monitor": "train.loss", "mode": "max"}
    optimizer = {"kind": "adam", "lr": 0.01}

    _, told = _extended(tmp_path, 2, 4, checkpoints=policy, optimizer=optimizer)

    # Under `max` the first epoch is the only best one, so that the parent wrote 3 and, at its end, 6.
    assert [event.step for event in told if isinstance(event, events.CheckpointWritten)] == [12]


@pytest.mark.parametrize("kind", ["cosine", "one_cycle"])
def test_a_schedule_that_looks_at_the_end_goes_on_along_the_new_curve_and_the_job_says_so(tmp_path: Path, kind: str) -> None:
    fields: dict[str, Any] = {"schedule": {"kind": kind}}
    whole = jobs.run(tmp_path / "whole", epochs=4, **fields)

    extended, told = _extended(tmp_path, 2, 4, **fields)

    warned = [event.message for event in told if isinstance(event, events.Warned)]
    assert len(warned) == 1
    assert f"extended from 2 to 4 epochs under a `{kind}` schedule" in warned[0]
    assert [extended.lr(step) for step in range(6, 12)] == [whole.lr(step) for step in range(6, 12)]
    assert isinstance(told[-1], events.Finished)
    assert not told[-1].result.bitwise


def test_a_schedule_looks_ahead_exactly_where_its_rate_depends_on_the_number_of_steps(tmp_path: Path) -> None:
    for kind in ("constant", "step", "cosine", "one_cycle", "plateau"):
        runs = [jobs.run(tmp_path, epochs=epochs, schedule={"kind": kind}) for epochs in (3, 6)]
        differs = any(runs[0].lr(step) != runs[1].lr(step) for step in range(9))
        assert looks_ahead(runs[0].spec.schedule) is differs, kind
    assert not looks_ahead(schedules.Constant())


def test_an_extended_job_that_is_interrupted_resumes_from_its_own_checkpoint(tmp_path: Path) -> None:
    whole = jobs.run(tmp_path / "whole", epochs=4, **HARD)
    jobs.said(whole)
    parent = jobs.run(tmp_path / "parent", epochs=2, **HARD)
    jobs.said(parent)
    spec = jobs.spec(epochs=4, **HARD)
    extended = build.run(spec, tmp_path / "extended", tmp_path / "parent" / "step-00000006", begun_with_epochs=2)
    jobs.to_step(extended, 8)
    source = tmp_path / "extended" / checkpoint.write(extended, interim=True).folder

    resumed = build.run(spec, tmp_path / "resumed", source)
    jobs.said(resumed)

    assert jobs.bits(resumed) == jobs.bits(whole)
    assert resumed.standing.resumed_at_steps == (6, 8)


def test_a_retried_job_goes_on_from_its_parents_checkpoint(tmp_path: Path) -> None:
    whole = jobs.run(tmp_path / "whole", **HARD)
    jobs.said(whole)

    retried = jobs.run(tmp_path / "retried", tmp_path / "whole" / "step-00000003", **HARD, name="again", checkpoints={"resume": "anywhere"})
    jobs.said(retried)

    assert jobs.bits(retried) == jobs.bits(whole)
    assert retried.standing.bitwise


@pytest.mark.parametrize(("fields", "begun"), [({"seed": 1}, 3), ({}, 2), ({}, None)], ids=["other_seed", "other_epochs", "not_extended"])
def test_only_the_epochs_may_differ_and_only_as_told(tmp_path: Path, fields: dict[str, Any], begun: int | None) -> None:
    jobs.said(jobs.run(tmp_path / "parent"))

    with pytest.raises(ArtifactCorruptError, match="spec"):
        build.run(jobs.spec(epochs=5, **fields), tmp_path / "extended", tmp_path / "parent" / "step-00000009", begun_with_epochs=begun)


def test_a_polished_job_is_not_trained_on(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"polish": {"epochs": 1}, "penalties": [{"kind": "l1", "lambda": 0.02}]}
    jobs.said(jobs.run(tmp_path / "parent", **fields))

    with pytest.raises(TrainingError, match="polished after epoch 3") as caught:
        build.run(jobs.spec(epochs=5, **fields), tmp_path / "extended", tmp_path / "parent" / "step-00000012", begun_with_epochs=3)

    assert caught.value.code is FailureCode.SPEC_INVALID

"""An interrupted and resumed job is the uninterrupted job, to the bit; and each thing a checkpoint holds is needed for that."""

from pathlib import Path
from typing import Any

import pytest
import torch

from contract import events
from tests.worker.training import jobs
from worker.training import averaging, checkpoint
from worker.training.faults import TrainingError
from worker.training.fit import fit
from worker.training.polish import Support
from worker.training.run import Run
from worker.training.said import Tick

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"kind": "sgd"},
    "heavy_ball": {"kind": "sgd", "momentum": 0.9},
    "nesterov": {"kind": "sgd", "momentum": 0.9, "nesterov": True},
    "momentum_ema": {"kind": "momentum_ema"},
    "adam": {"kind": "adam"},
    "amsgrad": {"kind": "adam", "amsgrad": True},
    "adamw": {"kind": "adamw"},
}
PROXIMAL = [{"kind": "l1", "lambda": 1e-3, "warmup_epochs": 1.5}, {"kind": "l2", "lambda": 1e-3}]
COUPLED = [{"kind": "l1", "lambda": 1e-3, "apply": "subgradient"}, {"kind": "l2", "lambda": 1e-3}]


def _hard(optimizer: str) -> dict[str, Any]:
    """A job with dropout, batch norm, penalties and a moving learning rate."""
    return {
        "model": jobs.CONVOLUTIONAL,
        "optimizer": OPTIMIZERS[optimizer],
        "penalties": COUPLED if optimizer == "amsgrad" else PROXIMAL,
        "schedule": {"kind": "cosine", "warmup_epochs": 1},
    }


def _whole(tmp_path: Path, fields: dict[str, Any]) -> tuple[dict[str, bytes], list[Any]]:
    run = jobs.run(tmp_path / "whole", **fields)
    told = [jobs.lasting(event) for event in jobs.said(run)]
    return jobs.bits(run), [epoch for epoch in told if epoch]


def _interrupted(tmp_path: Path, fields: dict[str, Any], stops: list[int]) -> tuple[dict[str, bytes], list[Any], Run]:
    """The same job, saved and dropped at the first yield of each step of `stops`; a stop at 3 is after an epoch, before its validation."""
    told: list[Any] = []
    source: Path | None = None
    for number, stop in enumerate([*stops, None]):
        run = jobs.run(tmp_path / f"attempt{number}", source, **fields)
        for event in fit(run):
            if not isinstance(event, Tick) and (epoch := jobs.lasting(event)):
                told.append(epoch)
            if run.step == stop and not isinstance(event, events.Started):
                source = tmp_path / f"attempt{number}" / checkpoint.write(run, interim=True).folder
                break
    return jobs.bits(run), told, run


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("stops", [[2], [3], [4, 8]], ids=["in_an_epoch", "before_validation", "twice"])
def test_an_interrupted_job_ends_as_the_uninterrupted_one_to_the_bit(tmp_path: Path, optimizer: str, stops: list[int]) -> None:
    expected, epochs = _whole(tmp_path, _hard(optimizer))

    found, told, run = _interrupted(tmp_path, _hard(optimizer), stops)

    assert found == expected
    assert told == epochs
    assert run.standing.resumed_at_steps == tuple(stops)


# Polish begins after step 9 of 15; a stop at 9 is before it, and its first step is the tenth.
POLISHED = {"polish": {"epochs": 2}, "penalties": [{"kind": "l1", "lambda": 0.02}, {"kind": "l2", "lambda": 1e-3}]}
ENDS: dict[str, dict[str, Any]] = {
    "averaged": {"averaging": {"kind": "ema"}},
    "tolerant": {"tolerance": {"gradient_mapping": 1e-9}},
    "polished": POLISHED,
    "all": {**POLISHED, "averaging": {"kind": "ema"}, "tolerance": {"gradient_mapping": 1e-9}},
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("stops", [[2], [3], [9], [10], [4, 12]], ids=str)
def test_an_averaged_or_polished_job_resumes_to_the_bit_too(tmp_path: Path, end: str, stops: list[int]) -> None:
    fields = {**_hard("adam"), "optimizer": {"kind": "adam", "lr": 0.01}, **ENDS[end]}
    fields["epochs"] = 3 if "polish" in fields else 5
    expected, epochs = _whole(tmp_path, fields)

    found, told, run = _interrupted(tmp_path, fields, stops)

    assert found == expected
    assert told == epochs
    assert run.standing.polished_from == (3 if "polish" in fields else None)


def test_a_job_stopped_just_after_polish_began_resumes_with_the_same_support(tmp_path: Path) -> None:
    fields = {**_hard("adam"), "optimizer": {"kind": "adam", "lr": 0.01}, **ENDS["all"]}
    expected, _ = _whole(tmp_path, fields)
    run = jobs.run(tmp_path / "first", **fields)
    going = fit(run)
    while run.standing.polished_from is None:
        next(going)
    source = tmp_path / "first" / checkpoint.write(run, interim=True).folder
    saved = checkpoint.read(source)
    kept = [name for name in saved.trainer if name.startswith("polish.")]

    resumed = jobs.run(tmp_path / "second", source, **fields)
    jobs.said(resumed)

    assert len(kept) == 4
    assert any(not saved.trainer[name].all() for name in kept)
    assert jobs.bits(resumed) == expected


def test_a_job_saved_amid_a_full_batch_gradient_loses_only_that_gradient(tmp_path: Path) -> None:
    data = jobs.TINY | {"train_rows": 800, "validation_fraction": 0}
    fields = {"dataset": data, "model": jobs.CONVOLUTIONAL, "optimizer": {"kind": "gd"}, "batch_size": "full"}
    expected, epochs = _whole(tmp_path, fields)
    run = jobs.run(tmp_path / "first", **fields)
    going = jobs.to_step(run, 1)
    while not run.held_buffers:
        next(going)
    source = tmp_path / "first" / checkpoint.write(run, interim=True).folder

    resumed = jobs.run(tmp_path / "second", source, **fields)
    told = [jobs.lasting(event) for event in jobs.said(resumed)]

    assert jobs.bits(resumed) == expected
    assert [epoch for epoch in told if epoch] == epochs[1:]


def test_a_job_stopped_between_its_best_epoch_and_the_checkpoint_of_it_still_writes_that_checkpoint(tmp_path: Path) -> None:
    run = jobs.run(tmp_path / "first", checkpoints={"every_epochs": 100})
    going = fit(run)
    while not isinstance(next(going), events.EpochDone):
        pass
    source = tmp_path / "first" / checkpoint.write(run, interim=True).folder

    resumed = jobs.said(jobs.run(tmp_path / "second", source, checkpoints={"every_epochs": 100}))

    written = [event for event in resumed if isinstance(event, events.CheckpointWritten)]
    assert (written[0].step, written[0].metrics) == (3, run.standing.metrics)


def test_a_job_resumed_at_its_very_end_only_reports(tmp_path: Path) -> None:
    first = jobs.run(tmp_path / "first")
    expected = jobs.result(first)

    told = jobs.said(jobs.run(tmp_path / "second", tmp_path / "first" / "step-00000009"))

    assert [event.type for event in told] == ["started", "finished"]
    assert isinstance(told[-1], events.Finished)
    assert told[-1].result.metrics == expected.metrics
    assert told[-1].result.resumed_at_steps == (9,)


def test_a_resumed_job_computes_with_the_threads_it_began_with(tmp_path: Path) -> None:
    torch.set_num_threads(2)
    whole = jobs.run(tmp_path / "whole", **_hard("adam"))
    jobs.said(whole)
    torch.set_num_threads(1)

    resumed = jobs.run(tmp_path / "second", tmp_path / "whole" / "step-00000006", **_hard("adam"))
    started = next(fit(resumed))

    assert isinstance(started, events.Started)
    assert started.machine.threads == torch.get_num_threads() == 2
    assert jobs.result(resumed).bitwise
    assert jobs.bits(resumed) == jobs.bits(whole)


ELSEWHERE = {"torch": "2.0.0", "device": "cuda:0 NVIDIA H100", "cpu_capability": "AVX1024"}


@pytest.mark.parametrize("what", ELSEWHERE)
def test_a_job_of_another_class_of_machine_is_put_back_for_a_worker_that_can_go_on_to_the_bit(tmp_path: Path, what: str) -> None:
    source, began = _begun_on(tmp_path, {what: ELSEWHERE[what]})

    with pytest.raises(TrainingError) as caught:
        jobs.run(tmp_path / "second", source)

    assert caught.value.code in events.RETRYABLE
    assert began.machine_class() in str(caught.value)
    assert jobs.run(tmp_path / "own").machine.machine_class() in str(caught.value)
    assert "checkpoints.resume 'anywhere'" in caught.value.hint


@pytest.mark.parametrize("what", ELSEWHERE)
def test_a_job_that_may_resume_anywhere_does_and_its_result_says_that_its_bits_differ(tmp_path: Path, what: str) -> None:
    source, began = _begun_on(tmp_path, {what: ELSEWHERE[what]})

    told = jobs.said(jobs.run(tmp_path / "second", source, checkpoints={"resume": "anywhere"}))

    warned = [event.message for event in told if isinstance(event, events.Warned)]
    assert len(warned) == 1
    assert began.fingerprint() in warned[0]
    assert isinstance(told[-1], events.Finished)
    assert not told[-1].result.bitwise


def test_which_of_several_like_gpus_it_is_makes_no_other_class(tmp_path: Path) -> None:
    machine = jobs.run(tmp_path).machine
    first, second = (machine.model_copy(update={"device": f"cuda:{index} NVIDIA H100"}) for index in (0, 1))

    assert first.machine_class() == second.machine_class()


@pytest.mark.parametrize(("deterministic", "bitwise"), [(False, False), (True, True)])
def test_on_a_gpu_only_a_deterministic_job_resumes_to_the_bit(tmp_path: Path, *, deterministic: bool, bitwise: bool) -> None:
    source, machine = _begun_on(tmp_path, {"device": "cuda:0 NVIDIA H100"}, deterministic=deterministic)
    run = jobs.run(tmp_path / "second", deterministic=deterministic)
    run.machine, run.device = machine, torch.device("cuda", 0)

    checkpoint.restore(run, checkpoint.read(source))

    assert run.standing.bitwise is bitwise
    assert len(run.warnings) == (not bitwise)


def _begun_on(tmp_path: Path, machine: dict[str, str], **fields: Any) -> tuple[Path, events.Machine]:
    """A checkpoint that another machine seems to have written."""
    run = jobs.run(tmp_path / "first", **fields)
    jobs.to_step(run, 2)
    run.machine = run.machine.model_copy(update=machine)
    return tmp_path / "first" / checkpoint.write(run).folder, run.machine


def test_precision_auto_is_what_it_was_when_the_job_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.training.precision._gains_from_bfloat16", lambda device: True)
    jobs.said(jobs.run(tmp_path / "first"))
    monkeypatch.setattr("worker.training.precision._gains_from_bfloat16", lambda device: False)

    resumed = jobs.run(tmp_path / "second", tmp_path / "first" / "step-00000003")

    assert resumed.machine.precision == "bfloat16"


# One mutant for each thing that a checkpoint holds: with it left out, the job must end otherwise.
def _forget_model(run: Run) -> None:
    fresh = jobs.run(run.scratch, **_hard("adam"))
    run.model.load_state_dict(fresh.model.state_dict())


def _forget_buffers(run: Run) -> None:
    for name, buffer in run.model.named_buffers():
        buffer.fill_(1 if name.endswith("var") else 0)


def _forget_optimizer(run: Run) -> None:
    run.optimizer.state.clear()


def _forget_step_count(run: Run) -> None:
    for state in run.optimizer.state.values():
        state["step"].zero_()


def _forget_position(run: Run) -> None:
    run.standing.batch = 0


def _forget_epoch(run: Run) -> None:
    run.standing.epoch = 0


def _forget_totals(run: Run) -> None:
    run.totals.loss.zero_()


def _forget_correct(run: Run) -> None:
    run.totals.correct.zero_()


def _forget_best(run: Run) -> None:
    run.standing.best_epoch, run.standing.best_metrics = 0, {}


def _forget_average(run: Run) -> None:
    averaging.begin(run)


def _forget_phase(run: Run) -> None:
    run.standing.polished_from = None


def _forget_support(run: Run) -> None:
    for term in run.terms:
        if isinstance(term, Support):
            term.kept[0].fill_(1)


LATE_MUTANTS = [_forget_average, _forget_phase, _forget_support]
MUTANTS = [
    _forget_model,
    _forget_buffers,
    _forget_optimizer,
    _forget_step_count,
    _forget_position,
    _forget_epoch,
    _forget_totals,
    _forget_correct,
    _forget_best,
]


@pytest.mark.parametrize("forget", MUTANTS)
def test_everything_in_a_checkpoint_is_needed(tmp_path: Path, forget: Any) -> None:
    # Under this seed the training accuracy falls from the first epoch on, so that forgetting the best one shows.
    fields = {**_hard("adam"), "checkpoints": {"monitor": "train.accuracy"}}
    whole = jobs.run(tmp_path / "whole", **fields)
    expected = [jobs.lasting(event) for event in jobs.said(whole)]
    assert whole.standing.best_epoch == 1
    run = jobs.run(tmp_path / "first", **fields)
    jobs.to_step(run, 5)
    source = tmp_path / "first" / checkpoint.write(run, interim=True).folder

    resumed = jobs.run(tmp_path / "second", source, **fields)
    forget(resumed)
    told = [jobs.lasting(event) for event in jobs.said(resumed)]

    same_epochs = [epoch for epoch in told if epoch] == [epoch for epoch in expected if epoch][1:]
    same_best = resumed.standing.best_epoch == whole.standing.best_epoch
    assert not (jobs.bits(resumed) == jobs.bits(whole) and same_epochs and same_best)


@pytest.mark.parametrize("forget", LATE_MUTANTS)
def test_everything_in_a_checkpoint_of_a_polished_job_is_needed(tmp_path: Path, forget: Any) -> None:
    fields = {**_hard("adam"), "optimizer": {"kind": "adam", "lr": 0.01}, **ENDS["all"]}
    whole = jobs.run(tmp_path / "whole", **fields)
    expected = jobs.result(whole)
    run = jobs.run(tmp_path / "first", **fields)
    jobs.to_step(run, 11)
    source = tmp_path / "first" / checkpoint.write(run, interim=True).folder

    resumed = jobs.run(tmp_path / "second", source, **fields)
    forget(resumed)
    found = jobs.result(resumed)

    assert not (jobs.bits(resumed) == jobs.bits(whole) and found.metrics == expected.metrics)

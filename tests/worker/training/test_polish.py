"""A polished run trains on within the support that its penalty chose, and without that penalty."""

from pathlib import Path
from typing import Any

import pytest
import torch

from contract import events
from tests.worker.training import jobs
from worker.training import objective
from worker.training.fit import fit
from worker.training.polish import Support
from worker.training.run import Run

FIELDS: dict[str, Any] = {
    "penalties": [{"kind": "l1", "lambda": 0.05}, {"kind": "l2", "lambda": 1e-3}],
    "optimizer": {"kind": "sgd", "lr": 0.1, "momentum": 0.9},
    "polish": {"epochs": 2},
}


def _supports(run: Run) -> list[dict[str, torch.Tensor]]:
    """Where each weight was not zero, after each step."""
    found, step = [], 0
    for _ in fit(run):
        if run.step > step:
            step = run.step
            found.append({name: parameter.detach() != 0 for name, parameter in run.named.items() if name.endswith("weight")})
    return found


@pytest.mark.parametrize("optimizer", [FIELDS["optimizer"], {"kind": "adam", "lr": 0.01}], ids=["momentum", "adam"])
def test_a_zero_stays_zero_while_a_run_is_polished_and_the_rest_is_trained(tmp_path: Path, optimizer: dict[str, Any]) -> None:
    run = jobs.run(tmp_path, **FIELDS | {"optimizer": optimizer})
    supports = _supports(run)

    assert len(supports) == 15
    for name, frozen in supports[8].items():
        assert (~frozen).any()
        for later in supports[9:]:
            assert not (later[name] & ~frozen).any()
            assert (later[name] == frozen).all()


def test_polish_switches_off_what_makes_zeros_and_leaves_the_rest_on(tmp_path: Path) -> None:
    run = jobs.run(tmp_path, **FIELDS, tolerance={"gradient_mapping": 1e-9})
    epochs = [event for event in jobs.said(run) if isinstance(event, events.EpochDone)]

    assert [event.epoch for event in epochs] == [1, 2, 3, 4, 5]
    assert ["train.gradient_mapping" in event.metrics for event in epochs] == [True] * 3 + [False] * 2
    assert [event.metrics["train.penalty.l1"] > 0 for event in epochs] == [True] * 3 + [False] * 2
    assert all(event.metrics["train.penalty.l2"] > 0 for event in epochs)
    assert epochs[-1].metrics["train.penalty"] == epochs[-1].metrics["train.penalty.l2"]
    assert epochs[-1].metrics["weights.zeros"] == epochs[2].metrics["weights.zeros"] > 0


def test_polish_lowers_the_data_loss_that_the_penalty_had_raised(tmp_path: Path) -> None:
    metrics = [event.metrics for event in jobs.said(jobs.run(tmp_path, **FIELDS)) if isinstance(event, events.EpochDone)]

    assert metrics[4]["train.loss"] < metrics[2]["train.loss"]


@pytest.mark.parametrize(("lr", "top"), [(None, 0.01), (0.06, 0.06)], ids=["a_tenth", "given"])
def test_the_learning_rate_of_polish_falls_linearly_towards_zero(tmp_path: Path, lr: float | None, top: float) -> None:
    run = jobs.run(tmp_path, **FIELDS | {"polish": {"epochs": 2, "lr": lr}, "schedule": {"kind": "cosine"}})
    assert (run.steps, run.lr(0)) == (15, 0.1)
    jobs.said(run)

    assert [run.lr(step) for step in range(9, 15)] == pytest.approx([top * k / 6 for k in (6, 5, 4, 3, 2, 1)], rel=1e-12)
    assert run.lr(0) == 0.1, "what an earlier step took is still told"


def test_polish_follows_an_early_stop_at_once_and_is_not_stopped_itself(tmp_path: Path) -> None:
    stopping = {"monitor": "train.loss", "patience": 2, "min_delta": 1e6}
    run = jobs.run(tmp_path, **FIELDS | {"epochs": 50, "early_stopping": stopping, "polish": {"epochs": 4}})

    result = jobs.result(run)

    assert (result.stop_reason, result.epochs, run.standing.polished_from, run.steps) == ("early_stopping", 7, 3, 21)
    assert run.standing.stale_epochs == 2


def test_the_last_epoch_before_polish_is_kept(tmp_path: Path) -> None:
    policy = {"every_epochs": 100, "monitor": "train.loss", "mode": "max"}
    told = jobs.said(jobs.run(tmp_path, **FIELDS, checkpoints=policy))

    assert {3, 5} <= {event.epoch for event in told if isinstance(event, events.CheckpointWritten)}


def test_gradients_of_frozen_weights_do_not_reach_the_optimizers_moments(tmp_path: Path) -> None:
    run = jobs.run(tmp_path, **FIELDS | {"optimizer": {"kind": "adam", "lr": 0.01}, "polish": {"epochs": 40}})
    jobs.said(run)

    support = next(term for term in run.terms if isinstance(term, Support))
    for parameter, kept in zip(support.parameters, support.kept, strict=True):
        # 120 steps without a gradient leave 0.9^120 = 3e-6 of what was.
        frozen = run.optimizer.state[parameter]["exp_avg"][kept == 0].abs()
        assert frozen.numel()
        assert frozen.max() < 1e-5


def test_an_average_begins_anew_with_polish(tmp_path: Path) -> None:
    run = jobs.run(tmp_path, **FIELDS, averaging={"kind": "ema"})
    jobs.to_step(run, 9)
    before = run.named["fc1.bias"].detach().clone()
    going = fit(run)
    while run.step < 10:
        next(going)

    expected = 0.1 * before + 0.9 * run.named["fc1.bias"].detach()
    assert torch.allclose(run.average["fc1.bias"], expected, rtol=0, atol=1e-7)


def test_sam_looks_for_the_sharpest_point_within_the_support(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = jobs.run(tmp_path, **FIELDS | {"optimizer": {"kind": "sam", "base": {"kind": "sgd", "lr": 0.1}, "rho": 0.5}})
    asked, backward = [], objective.backward

    def watched(run: Run, *rows: Any, **share: Any) -> Any:
        if run.standing.polished_from is not None:
            frozen = [~kept.bool() for term in run.terms if isinstance(term, Support) for kept in term.kept]
            asked.append([weight.detach()[zero].count_nonzero() for weight, zero in zip(run.terms[0].parameters, frozen, strict=True)])
        return backward(run, *rows, **share)

    monkeypatch.setattr(objective, "backward", watched)
    jobs.said(run)

    assert len(asked) == 2 * 6
    assert not any(any(each) for each in asked)

"""A step takes the gradient its optimizer asks for, at the weights it is meant for, and what it passes on its way leaves no trace."""

from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from contract import events
from contract.spec import optimizers
from tests.worker.training import convex, jobs
from worker.training import batches, checkpoint, gradient, objective, step
from worker.training.fit import fit
from worker.training.run import Run, Totals
from worker.training.said import Tick

KINDS = [member.model_fields["kind"].default for member in get_args(get_args(optimizers.Optimizer)[0])]
SAM = {"kind": "sam", "base": {"kind": "sgd", "lr": 0.1}, "rho": 0.5}
# Three parts of a full batch, so that a job can be left between them.
WIDE = jobs.TINY | {"train_rows": 800, "validation_fraction": 0}
L2 = [{"kind": "l2", "lambda": 1e-2}]


def _fields(kind: str) -> dict[str, Any]:
    """A job of this optimizer with dropout, batch norm where it may be, penalties and a moving learning rate."""
    whole, constant = kind in ("gd", "lbfgs"), kind in ("schedule_free", "lbfgs")
    return {
        "model": jobs.CONVOLUTIONAL | ({"norm": "none"} if kind == "schedule_free" else {}),
        "optimizer": {"kind": kind},
        "batch_size": "full" if whole else 16,
        "epochs": 8 if whole else 3,
        "penalties": L2,
        "schedule": {"kind": "constant" if constant else "cosine", "warmup_epochs": 1},
    }


def _interrupted(tmp_path: Path, fields: dict[str, Any], stops: list[int]) -> Run:
    source: Path | None = None
    for number, stop in enumerate([*stops, None]):
        run = jobs.run(tmp_path / f"attempt{number}", source, **fields)
        for event in fit(run):
            if run.step == stop and not isinstance(event, events.Started):
                source = tmp_path / f"attempt{number}" / checkpoint.write(run, interim=True).folder
                break
    return run


OTHERS: dict[str, dict[str, Any]] = {
    "sam_around_muon": {"optimizer": {"kind": "sam", "base": {"kind": "muon"}}},
    "sam_around_gd": {"optimizer": {"kind": "sam", "base": {"kind": "gd"}}, "batch_size": "full", "epochs": 8},
    "lbfgs_without_search": {"optimizer": {"kind": "lbfgs", "lr": 0.1, "line_search_fn": None}, "batch_size": "full", "epochs": 8},
    "centered": {"optimizer": {"kind": "rmsprop", "momentum": 0.5, "centered": True}},
    "plateau": {"schedule": {"kind": "plateau", "patience": 0, "threshold": 0.9, "cooldown": 1, "warmup_epochs": 1}, "epochs": 6},
}
# In float64 a state that torch keeps in float32, as nadam does, must come back in float32.
DOUBLE = {f"{kind}_float64": _fields(kind) | {"precision": "float64"} for kind in ("nadam", "lbfgs")}
JOBS = {kind: _fields(kind) for kind in KINDS} | {name: _fields("adam") | fields for name, fields in OTHERS.items()} | DOUBLE


@pytest.mark.parametrize("name", JOBS)
def test_a_job_of_every_optimizer_interrupted_amid_its_epochs_ends_as_if_it_were_not(tmp_path: Path, name: str) -> None:
    fields = JOBS[name]
    whole = jobs.run(tmp_path / "whole", **fields)
    first = whole.model.state_dict()["fc1.weight"].clone()
    jobs.said(whole)

    # At 2 and 7 amid an epoch, or between two of a full-batch job, with what L-BFGS has seen by then.
    found = _interrupted(tmp_path, fields, [2, 7] if whole.steps > 7 else [2, 4])

    assert jobs.bits(found) == jobs.bits(whole)
    assert not torch.equal(first, whole.model.state_dict()["fc1.weight"])


def _data_gradient(run: Run, order: batches.Order | None) -> list[torch.Tensor]:
    run.model.zero_grad(set_to_none=True)
    if order is None:
        for images, targets, share in batches.parts(run):
            objective.backward(run, images, targets, share)
    else:
        objective.backward(run, *batches.take(run, order))
    return [parameter.grad.clone() for parameter in run.named.values() if parameter.grad is not None]


@pytest.mark.parametrize("batch_size", [16, "full"])
def test_sam_steps_with_the_gradient_at_the_sharpest_point_beside_the_weights_and_penalties_at_the_weights(
    tmp_path: Path, batch_size: Any
) -> None:
    fields = {"precision": "float64", "penalties": L2, "batch_size": batch_size, "optimizer": SAM, "dataset": WIDE}
    run, twin = (jobs.run(tmp_path, **fields) for _ in range(2))
    weights = [parameter.detach() for parameter in twin.named.values()]
    before = [weight.clone() for weight in weights]
    here = _data_gradient(twin, batches.order(twin))
    length = torch.cat([each.flatten() for each in here]).norm()
    for weight, slope in zip(weights, here, strict=True):
        weight.add_(slope, alpha=float(0.5 / length))
    there = _data_gradient(twin, batches.order(twin))
    names = list(twin.named)

    list(step.take(run, batches.order(run)))

    for name, start, slope in zip(names, before, there, strict=True):
        decay = 1e-2 * start if name.endswith("weight") else 0
        assert torch.allclose(run.named[name].detach(), start - 0.1 * (slope + decay), rtol=0, atol=1e-12), name


def test_sams_second_pass_draws_the_same_dropout_and_moves_no_running_statistics(tmp_path: Path) -> None:
    plain, sharp = (jobs.run(tmp_path, model=jobs.CONVOLUTIONAL, optimizer=o) for o in ({"kind": "sgd", "lr": 0.1}, SAM | {"rho": 1e-9}))

    for run in (plain, sharp):
        list(step.take(run, batches.order(run)))

    statistics = [dict(run.model.named_buffers()) for run in (plain, sharp)]
    assert all(torch.equal(value, statistics[1][name]) for name, value in statistics[0].items())
    assert any(int(value) == 1 for name, value in statistics[1].items() if name.endswith("num_batches_tracked"))
    # So near to the weights the second gradient is the first one, if the same values were dropped.
    for name, parameter in plain.named.items():
        assert torch.allclose(parameter, sharp.named[name], atol=1e-5), name


def test_a_checkpoint_amid_sams_second_pass_shows_the_weights_before_the_step(tmp_path: Path) -> None:
    fields = {"dataset": WIDE, "model": jobs.CONVOLUTIONAL, "optimizer": {"kind": "sam", "base": {"kind": "gd"}}, "batch_size": "full"}
    run = jobs.run(tmp_path / "first", **fields)
    begun = {name: value.clone() for name, value in run.model.state_dict().items()}
    going: Iterator[Any] = fit(run)
    seen, source = set(), tmp_path
    for number, said in enumerate(going):
        if run.step:
            break
        if isinstance(said, Tick):
            source = tmp_path / f"saved{number}"
            jobs.save(run, source)
            saved = checkpoint.read(source).model
            assert all(torch.equal(saved[name], value) for name, value in begun.items())
            seen.add(torch.equal(run.named["fc1.weight"], begun["fc1.weight"]))

    assert seen == {True, False}, "between the parts of both passes"
    jobs.said(resumed := jobs.run(tmp_path / "second", source, **fields))
    jobs.said(whole := jobs.run(tmp_path / "whole", **fields))
    assert jobs.bits(resumed) == jobs.bits(whole)


def test_a_job_left_amid_sams_second_pass_stands_at_its_own_weights_again(tmp_path: Path) -> None:
    run = jobs.run(tmp_path, dataset=WIDE, optimizer={"kind": "sam", "base": {"kind": "gd"}}, batch_size="full")
    begun = {name: parameter.detach().clone() for name, parameter in run.named.items()}
    going = step.take(run, None)
    while all(torch.equal(parameter, begun[name]) for name, parameter in run.named.items()):
        next(going)

    going.close()

    assert all(torch.equal(parameter, begun[name]) for name, parameter in run.named.items())


def test_a_line_search_is_told_the_value_whose_gradient_it_is_given(tmp_path: Path) -> None:
    fields = {"optimizer": {"kind": "lbfgs"}, "batch_size": "full", "penalties": L2}
    run = jobs.run(tmp_path, precision="float64", dataset=WIDE, model=jobs.CONVOLUTIONAL, **fields)
    evaluate = gradient.search(run, Totals.zero(run.device))
    evaluate()
    weight = run.named["fc1.weight"].detach()
    statistics = {name: value.clone() for name, value in run.model.named_buffers()}

    value = evaluate()
    slope = run.named["fc1.weight"].grad
    assert slope is not None
    expected = float(slope[0, 0])
    weight[0, 0] += 1e-6
    ahead = evaluate()
    weight[0, 0] -= 2e-6
    behind = evaluate()

    assert value == pytest.approx((ahead + behind) / 2, abs=1e-9)
    assert (ahead - behind) / 2e-6 == pytest.approx(expected, rel=1e-5, abs=1e-8)
    assert all(torch.equal(buffer, statistics[name]) for name, buffer in run.model.named_buffers())


def test_lbfgs_finds_scikit_learns_logistic_regression_with_l2_in_a_few_steps(tmp_path: Path) -> None:
    lam = 0.05
    data = jobs.TINY | {"train_rows": 120, "height": 4, "width": 5, "noise": 2.0, "validation_fraction": 0}
    run = jobs.run(
        tmp_path,
        dataset=data,
        model={"kind": "linear"},
        optimizer={"kind": "lbfgs", "tolerance_grad": 1e-10, "tolerance_change": 1e-14},
        penalties=[{"kind": "l2", "lambda": lam}],
        precision="float64",
        batch_size="full",
        epochs=40,
    )
    X, y = convex.arrays(run)
    oracle = LogisticRegression(solver="lbfgs", C=1 / (lam * len(X)), tol=1e-12, max_iter=50_000).fit(X, y)

    jobs.said(run)

    weight, bias = run.named["fc1.weight"].detach().numpy(), run.named["fc1.bias"].detach().numpy()
    ours, theirs = (convex.logistic(X, y, W, b) + lam / 2 * (W**2).sum() for W, b in ((weight, bias), (oracle.coef_, oracle.intercept_)))
    assert abs(ours - theirs) <= 1e-8
    assert np.abs(weight - oracle.coef_).max() <= 1e-5


def test_a_full_batch_leaves_no_row_alone_in_a_part_of_its_own(tmp_path: Path) -> None:
    data = jobs.TINY | {"train_rows": 2 * batches.CHUNK + 1, "validation_fraction": 0, "height": 1, "width": 1}
    model = {"kind": "cnn", "channels": [2], "norm": "batch", "pool": 1, "hidden": []}
    run = jobs.run(tmp_path, dataset=data, model=model, batch_size="full", epochs=1)

    assert [len(targets) for _, targets, _ in batches.parts(run)] == [batches.CHUNK, batches.CHUNK + 1]
    assert sum(share for _, _, share in batches.parts(run)) == 1
    assert isfinite(jobs.result(run).metrics["train.loss"])

"""An averaged run is judged by its average and trained by its own weights, each to the bit."""

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from tests.worker.training import jobs
from worker.training import averaging, checkpoint, weights
from worker.training.fit import fit

EMA: dict[str, Any] = {"averaging": {"kind": "ema", "decay": 0.5}}
SPARSE: dict[str, Any] = {"penalties": [{"kind": "l1", "lambda": 0.05}], "optimizer": {"kind": "sgd", "lr": 0.1}}


def test_the_average_follows_its_recurrence_with_a_decay_that_warms_up(tmp_path: Path) -> None:
    run = jobs.run(tmp_path, precision="float64", model=jobs.CONVOLUTIONAL, averaging={"kind": "ema", "decay": 0.25})
    expected = {name: value.detach().clone() for name, value in averaging.averageable(run).items()}
    assert {"norm1.running_mean", "norm1.running_var", "fc1.bias"} < expected.keys()

    step = 0
    for _ in fit(run):
        if run.step > step:
            d = min(0.25, (1 + step) / (10 + step))
            expected = {name: d * value + (1 - d) * averaging.averageable(run)[name].detach() for name, value in expected.items()}
            step = run.step

    assert step == 9
    assert run.average.keys() == expected.keys()
    for name, value in run.average.items():
        assert torch.allclose(value, expected[name], rtol=0, atol=1e-14)


def test_averaging_does_not_touch_what_is_trained(tmp_path: Path) -> None:
    plain = jobs.run(tmp_path / "plain", model=jobs.CONVOLUTIONAL, **SPARSE)
    jobs.said(plain)
    averaged = jobs.run(tmp_path / "averaged", model=jobs.CONVOLUTIONAL, **SPARSE, **EMA)
    jobs.said(averaged)

    found = jobs.bits(averaged)
    assert {name: found[name] for name in jobs.bits(plain)} == jobs.bits(plain)


def test_the_result_and_the_network_given_away_are_those_of_the_average(tmp_path: Path) -> None:
    run = jobs.run(tmp_path, model=jobs.CONVOLUTIONAL, **EMA)
    result = jobs.result(run)

    given = safetensors.torch.load_file(tmp_path / "step-00000009" / "model.safetensors")
    assert all(torch.equal(given[name], value) for name, value in run.average.items())
    assert not torch.equal(given["fc1.weight"], run.named["fc1.weight"])
    run.model.load_state_dict(given)
    run.model.eval()
    images, classes = run.data.test.between(0, 20)
    loss = torch.nn.functional.cross_entropy(run.model(images), classes).item()
    assert result.metrics["test.loss"] == pytest.approx(loss, rel=1e-6)
    assert result.layers[0].l1 == pytest.approx(given["conv1.weight"].abs().sum().item(), rel=1e-6)


def test_the_average_of_a_sparse_run_has_the_zeros_of_its_weights(tmp_path: Path) -> None:
    run = jobs.run(tmp_path, **SPARSE, averaging={"kind": "ema", "decay": 0.99})
    result = jobs.result(run)

    zeros = run.named["fc1.weight"] == 0
    assert zeros.any()
    assert (run.average["fc1.weight"][zeros] != 0).any(), "a mean over what was not always zero"
    with weights.evaluated(run):
        assert (run.named["fc1.weight"][zeros] == 0).all()
        assert torch.equal(run.named["fc1.weight"][~zeros], run.average["fc1.weight"][~zeros])
    assert result.layers[0].zeros == zeros.sum()


def test_the_penalties_of_validation_are_those_of_the_average(tmp_path: Path) -> None:
    run = jobs.run(tmp_path, **SPARSE, **EMA)
    result = jobs.result(run)

    with weights.evaluated(run):
        worth = 0.05 * sum(float(run.named[f"{layer}.weight"].detach().abs().sum()) for layer in ("fc1", "fc2"))
    assert result.metrics["val.objective"] - result.metrics["val.loss"] == pytest.approx(worth, rel=1e-6)
    assert result.metrics["train.penalty"] != pytest.approx(worth, rel=1e-3)


def test_amid_sams_second_pass_the_average_still_has_the_zeros_of_the_step_boundary(tmp_path: Path) -> None:
    data = jobs.TINY | {"train_rows": 800, "validation_fraction": 0}
    sam = {"kind": "sam", "base": {"kind": "gd", "lr": 0.1}}
    run = jobs.run(tmp_path, **SPARSE | {"optimizer": sam}, **EMA, dataset=data, batch_size="full")
    going = jobs.to_step(run, 1)
    own, given = run.named["fc1.weight"].detach().clone(), weights.given_away(run)["fc1.weight"]

    while torch.equal(run.named["fc1.weight"], own):
        next(going)

    assert run.step == 1
    assert (given == 0).any()
    assert torch.equal(weights.given_away(run)["fc1.weight"], given)


def test_the_networks_own_weights_come_back_to_the_bit_even_after_an_error(tmp_path: Path) -> None:
    run = jobs.run(tmp_path, model=jobs.CONVOLUTIONAL, **EMA)
    jobs.to_step(run, 2)
    before, places = jobs.bits(run), [parameter.data_ptr() for parameter in run.named.values()]

    def fail() -> None:
        with weights.evaluated(run):
            assert jobs.bits(run) != before
            raise RuntimeError("amid")

    with pytest.raises(RuntimeError, match="amid"):
        fail()

    assert jobs.bits(run) == before
    assert [parameter.data_ptr() for parameter in run.named.values()] == places


def test_a_checkpoint_without_the_weights_behind_its_average_is_refused(tmp_path: Path) -> None:
    run = jobs.run(tmp_path, **EMA)
    jobs.to_step(run, 2)
    saved = checkpoint.read(tmp_path / checkpoint.write(run).folder)
    kept = {name for name in saved.trainer if name.startswith(("raw.", "average."))}

    assert kept == {f"{kind}.{name}" for kind in ("raw", "average") for name in run.named}

"""On a GPU a job trains, comes back to the bit, and finds what the CPU finds, whether its steps are recorded or not."""

from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from contract.spec import penalties as specs
from tests.worker.training import jobs
from worker.training import captured, checkpoint, penalties
from worker.training.fit import fit
from worker.training.run import Run

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

CNN = {"kind": "cnn", "channels": [4, 6], "hidden": [10], "norm": "batch"}
L1 = [{"kind": "l1", "lambda": 1e-3, "warmup_epochs": 1}]
EXACT = {"device": "cuda", "precision": "float32", "deterministic": True, "penalties": L1}
KINDS = [member.model_fields["kind"].default for member in get_args(get_args(specs.Penalty)[0])]
OPTIMIZERS = ["sgd", "momentum_ema", "adam", "adamw", "nadam", "radam", "rmsprop", "adagrad", "adadelta", "adamax"]


def _weights(run: Run) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu() for name, value in run.model.state_dict().items()}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_job_learns(tmp_path: Path, precision: str) -> None:
    data = jobs.TINY | {"train_rows": 400}
    found = jobs.result(jobs.run(tmp_path, device="cuda", dataset=data, model=CNN, precision=precision, epochs=8, penalties=L1))

    assert found.machine.device.startswith("cuda")
    assert found.metrics["test.accuracy"] > 0.6


@pytest.mark.parametrize("model", [{"kind": "mlp", "hidden": [8]}, CNN], ids=["mlp", "cnn"])
def test_a_deterministic_job_interrupted_amid_an_epoch_ends_at_the_bits_of_the_one_that_was_not(tmp_path: Path, model: Any) -> None:
    whole = jobs.run(tmp_path / "whole", model=model, **EXACT)
    jobs.said(whole)
    begun = jobs.run(tmp_path / "begun", model=model, **EXACT)
    going = jobs.to_step(begun, 4)
    source = tmp_path / "begun" / checkpoint.write(begun, interim=True).folder
    going.close()
    resumed = jobs.run(tmp_path / "resumed", source, model=model, **EXACT)

    result = jobs.result(resumed)

    assert result.bitwise
    for name, value in _weights(whole).items():
        assert torch.equal(value, _weights(resumed)[name]), name


@pytest.mark.parametrize("model", [{"kind": "mlp", "hidden": [8]}, CNN], ids=["mlp", "cnn"])
def test_recorded_steps_are_the_eager_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Any) -> None:
    monkeypatch.setenv("RIDGELINE_CUDA_GRAPHS", "1")
    recorded = jobs.run(tmp_path / "recorded", model=model, **EXACT)
    jobs.said(recorded)
    assert isinstance(getattr(recorded.recorded, "__self__", None), captured.Recording), "the step was not recorded"
    monkeypatch.setattr(captured, "of", lambda _: None)
    eager = jobs.run(tmp_path / "eager", model=model, **EXACT)

    jobs.said(eager)

    assert eager.recorded is None
    for name, value in _weights(eager).items():
        assert torch.equal(value, _weights(recorded)[name]), name


@pytest.mark.parametrize("kind", KINDS)
def test_a_penalty_does_to_the_weights_what_it_does_on_the_cpu(tmp_path: Path, kind: str) -> None:
    form = {"kind": kind, **({"max_norm": 0.5} if kind == "max_norm" else {"lambda": 1e-2})}
    found: list[dict[str, torch.Tensor]] = []
    worth = []
    for device in ("cpu", "cuda"):
        run = jobs.run(tmp_path, device=device, precision="float64", model=CNN, penalties=[form])
        for _ in zip(range(4), fit(run), strict=False):
            pass
        found.append(_weights(run))
        worth.append(penalties.values(run.terms, run.step))

    for name, value in found[0].items():
        assert torch.allclose(value, found[1][name], rtol=1e-9, atol=1e-12), name
    assert worth[1] == {name: pytest.approx(value, rel=1e-9) for name, value in worth[0].items()}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_an_optimizer_and_its_proximal_step_do_what_they_do_on_the_cpu(tmp_path: Path, kind: str) -> None:
    found = []
    for device in ("cpu", "cuda"):
        run = jobs.run(tmp_path / device, device=device, precision="float64", optimizer={"kind": kind}, penalties=L1, model=CNN)
        jobs.said(run)
        found.append(_weights(run))

    for name, value in found[0].items():
        assert torch.allclose(value, found[1][name], rtol=1e-6, atol=1e-9), name

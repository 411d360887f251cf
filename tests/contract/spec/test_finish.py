"""What a spec may say about its end, and what of it is refused."""

from typing import Any, get_args

import pytest

from contract.spec import JobSpec, check, optimizers
from contract.spec.base import Metric

SPARSE = {"penalties": [{"kind": "l1", "lambda": 1e-3}]}
REAL = {"dataset": {"kind": "fake", "targets": "real"}, "loss": {"kind": "half_mse"}}


def _faults(**fields: Any) -> dict[str, str]:
    return {fault.pointer: fault.message for fault in check.faults(JobSpec.model_validate(fields))}


def test_tolerance_averaging_and_polish_are_off_unless_asked_for() -> None:
    spec = JobSpec.model_validate({})
    assert (spec.tolerance, spec.averaging, spec.polish, spec.most_epochs) == (None, None, None, 10)


def test_the_epochs_of_polish_come_on_top() -> None:
    assert JobSpec.model_validate({**SPARSE, "epochs": 7, "polish": {"epochs": 2}}).most_epochs == 9


@pytest.mark.parametrize(
    "penalties",
    [
        [],
        [{"kind": "l2", "lambda": 1e-3}],
        [{"kind": "l1", "lambda": 1e-3, "apply": "subgradient"}],
        [{"kind": "l1", "lambda": 0.0}],
        [{"kind": "max_norm"}],
    ],
    ids=["none", "l2", "subgradient", "zero", "norm_bound"],
)
def test_a_polish_is_refused_where_nothing_makes_zeros(penalties: list[Any]) -> None:
    assert "add a proximal one" in _faults(penalties=penalties, polish={"epochs": 1})["/polish"]
    assert _faults(**SPARSE, polish={"epochs": 1}) == {}


@pytest.mark.parametrize("optimizer", [member.model_fields["kind"].default for member in get_args(get_args(optimizers.Optimizer)[0])])
def test_averaging_is_refused_where_the_optimizer_averages_itself(optimizer: str) -> None:
    found = _faults(model={"kind": "mlp"}, optimizer={"kind": optimizer}, averaging={"kind": "ema"})

    assert list(found) == (["/averaging"] if optimizer == "schedule_free" else [])
    assert all("drop averaging" in message for message in found.values())


def test_every_metric_may_be_monitored_and_on_real_targets_only_losses_may() -> None:
    for metric in get_args(Metric):
        checkpoints = {"monitor": metric}
        assert _faults(checkpoints=checkpoints) == {}
        is_loss = metric.endswith(("loss", "objective"))
        assert bool(_faults(**REAL, checkpoints=checkpoints)) is not is_loss
        assert JobSpec.model_validate({"checkpoints": checkpoints}).checkpoints.mode == ("max" if metric.endswith("accuracy") else "min")

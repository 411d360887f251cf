"""Every model, loss and treatment of the data is a whole job: it learns, and an interruption leaves no trace in it."""

from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from contract import events
from contract.spec import losses, models
from tests.worker.training import jobs
from worker.training import checkpoint

# Two epochs of two steps; large enough for the deepest network's three halvings.
SMALL = jobs.TINY | {"channels": 3, "train_rows": 40}
# Under `max` a falling loss makes the first epoch the best one, and one checkpoint less is written: a large network's takes seconds.
QUIET = {"every_epochs": 2, "monitor": "train.loss", "mode": "max"}
FAST: dict[str, Any] = {"dataset": SMALL, "epochs": 2, "optimizer": {"kind": "sgd", "lr": 0.03}, "checkpoints": QUIET}
TREATMENTS: dict[str, dict[str, Any]] = {
    "label_noise": {"label_noise": 0.1},
    "missing_labels": {"missing_labels": 0.1},
    "missing_pixels": {"missing_pixels": 0.1},
    "flip": {"augment": {"flip": 0.5}},
    "crop": {"augment": {"crop": 1}},
    "erase": {"augment": {"erase": 0.5}},
}


def _kinds(union: Any) -> list[dict[str, Any]]:
    found: list[type[BaseModel]] = list(get_args(get_args(union)[0]))
    return [{"kind": kind.model_fields["kind"].default} for kind in found]


KINDS: dict[str, dict[str, Any]] = {
    **{f"model_{model['kind']}": {"model": model} for model in _kinds(models.Model)},
    **{f"loss_{loss['kind']}": {"loss": loss} for loss in _kinds(losses.Loss)},
    "loss_bootstrap_soft": {"loss": {"kind": "bootstrap", "target": "soft"}},
    **{f"data_{name}": {"dataset": SMALL | fields} for name, fields in TREATMENTS.items()},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_of_any_kind_learns_and_ends_the_same_to_the_bit_after_an_interruption(tmp_path: Path, kind: str) -> None:
    fields = FAST | KINDS[kind]
    whole = jobs.run(tmp_path / "whole", **fields)
    epochs = [event.metrics for event in jobs.said(whole) if isinstance(event, events.EpochDone)]

    first = jobs.run(tmp_path / "first", **fields)
    jobs.to_step(first, 3)
    source = tmp_path / "first" / checkpoint.write(first, is_end=True).folder
    second = jobs.run(tmp_path / "second", source, **fields)
    jobs.said(second)

    assert epochs[1]["train.objective"] < epochs[0]["train.objective"]
    assert jobs.bits(second) == jobs.bits(whole)

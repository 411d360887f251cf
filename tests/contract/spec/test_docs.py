"""What a spec may say is written down: each kind in the README's table and in the mathematics, where its formula stands."""

from pathlib import Path
from typing import Any, get_args

import pytest

from contract.spec import losses, models, optimizers, penalties, schedules

ROOT = Path(__file__).parents[3]
FAMILIES: dict[str, Any] = {
    "model": models.Model,
    "loss": losses.Loss,
    "optimizer": optimizers.Optimizer,
    "schedule": schedules.Schedule,
    "penalty": penalties.Penalty,
}
KINDS = [
    (family, each.model_fields["kind"].default) for family, union in FAMILIES.items() for each in get_args(get_args(union)[0])
]  # fmt: skip


@pytest.mark.parametrize("page", ["README.md", "docs/mathematics.md"])
@pytest.mark.parametrize(("family", "kind"), KINDS)
def test_every_kind_is_written_down(page: str, family: str, kind: str) -> None:
    assert f"`{kind}`" in (ROOT / page).read_text(), f"{family} {kind}"

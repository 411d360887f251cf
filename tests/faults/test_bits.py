"""A job interrupted at random ends with the SHA-256 of the uninterrupted one."""

from typing import get_args

import pytest

from contract.spec import optimizers
from tests.faults import bits

pytestmark = pytest.mark.storm

SEED = 20261122


def test_jobs_interrupted_at_random_end_with_the_weights_of_the_uninterrupted() -> None:
    report = bits.interruptions(24, SEED)

    report.assert_kept()
    assert report.faults >= 24


def test_every_optimizer_there_is_may_be_drawn() -> None:
    kinds = {kind.model_fields["kind"].default for kind in get_args(get_args(optimizers.Optimizer)[0])}
    assert {fields["kind"] for fields in bits.OPTIMIZERS} == kinds

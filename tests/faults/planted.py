"""Faults that are planted in the pure core, or in the worker or the store around it, to see that the proofs are not blind."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from contract import lifecycle
from contract.errors import LostLeaseError
from contract.job import MOVES, Job, JobState
from tests.faults import hands, model

Plant = Callable[[pytest.MonkeyPatch], None]


def forget_the_fence(patch: pytest.MonkeyPatch) -> None:
    def must_be_held(job: Job, fence: int) -> None:
        if not job.is_held:
            raise LostLeaseError("nobody holds it")

    patch.setattr(lifecycle, "_must_own", must_be_held)


def keep_the_fence_at_expiry(patch: pytest.MonkeyPatch) -> None:
    crashed = lifecycle._crashed
    patch.setattr(lifecycle, "_crashed", lambda job, *rest: dataclasses.replace(crashed(job, *rest), fence=job.fence))


def keep_the_fence_at_a_claim(patch: pytest.MonkeyPatch) -> None:
    claim = lifecycle.claim

    def claimed(job: Job, *rest: Any) -> Job | None:
        after = claim(job, *rest)
        return after and dataclasses.replace(after, fence=max(1, job.fence))

    patch.setattr(lifecycle, "claim", claimed)


def ignore_crashes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lifecycle, "CRASHES_WITHOUT_PROGRESS", 10**6)


def publish_first(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(hands, "PUBLISHING", (hands.Phase.NAMING, hands.Phase.STORING))


def commit_while_cancelling(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lifecycle, "MOVES", {**MOVES, JobState.CANCELLING: frozenset({JobState.CANCELLED, JobState.SUCCEEDED})})


def commit_once_only(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(model.Tables, "_is_committed", lambda *_: False)


def record_twice(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(model.Tables, "_is_recorded", lambda *_: False)


def write_without_guard(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(model.Tables, "_is_untouched", lambda *_: True)

"""Which kinds cannot be had together, told before anyone tries: found by asking the checks themselves."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

from contract.spec import JobSpec, optimizers, penalties
from contract.spec.base import Spec
from contract.spec.check import pairing


@dataclass(frozen=True, slots=True)
class Refusal:
    """An optimizer and a penalty that have no meaning together."""

    optimizer: str
    penalty: str
    apply: str | None
    """How the penalty acts, where it can act in several ways: `proximal` or `subgradient`."""
    code: str
    reason: str
    """With the remedy."""


@cache
def pairs() -> tuple[Refusal, ...]:
    """Every optimizer with every penalty that it refuses, each at its defaults."""
    return tuple(
        found for optimizer in _kinds(optimizers.Optimizer) for penalty in _kinds(penalties.Penalty) for found in _told(optimizer, penalty)
    )


def _told(optimizer: type[Spec], penalty: type[Spec]) -> Iterator[Refusal]:
    needed: dict[str, Any] = {"lambda": 1e-4} if any(field.is_required() for field in penalty.model_fields.values()) else {}
    for apply in _ways(penalty):
        asked = penalty.model_validate(needed | ({"apply": apply} if apply else {})).model_dump(mode="json")
        spec = JobSpec.model_validate({"optimizer": optimizer().model_dump(mode="json"), "penalties": [asked]})
        for fault in pairing.faults(spec):
            yield Refusal(spec.optimizer.kind, spec.penalties[0].kind, apply, fault.code, fault.message)


def _ways(penalty: type[Spec]) -> tuple[str | None, ...]:
    return get_args(penalty.model_fields["apply"].annotation) if "apply" in penalty.model_fields else (None,)


def _kinds(family: Any) -> tuple[type[Spec], ...]:
    union, *_ = get_args(family)
    return get_args(union)

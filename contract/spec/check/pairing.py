"""Which penalties mean something together with an optimizer, and with one another."""

from collections.abc import Iterator

from contract.spec import JobSpec
from contract.spec.faults import Fault


def faults(spec: JobSpec) -> Iterator[Fault]:
    """A proximal penalty where the optimizer has no metric to take it in, or two proximal penalties on the same weights."""
    proximal = [index for index, penalty in enumerate(spec.penalties) if penalty.is_proximal and penalty.is_active]
    if (reason := spec.optimizer.no_metric) is not None:
        for index in proximal:
            yield Fault(
                ("penalties", index), "no_metric", f"{spec.penalties[index].kind} acts after the step, which is not possible here: {reason}"
            )
    # A max_norm beside a penalty means something: it comes last, and only scales rows back.
    shrinking = [index for index in proximal if spec.penalties[index].strength > 0]
    for first, second in ((a, b) for k, a in enumerate(shrinking) for b in shrinking[k + 1 :]):
        if _overlap(spec.penalties[first].on, spec.penalties[second].on):
            yield Fault(
                ("penalties", second),
                "overlap",
                f"penalties {first} and {second} are both proximal and on the same weights; add their lambdas in one, or name different layers in their `on`",
            )


def _overlap(one: str | tuple[str, ...], other: str | tuple[str, ...]) -> bool:
    return not (isinstance(one, tuple) and isinstance(other, tuple)) or bool(set(one) & set(other))

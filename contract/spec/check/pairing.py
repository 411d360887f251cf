"""Which penalties mean something together with an optimizer, and with one another."""

from collections.abc import Iterator

from contract.spec import JobSpec
from contract.spec.faults import Fault


def faults(spec: JobSpec) -> Iterator[Fault]:
    """A proximal penalty where the optimizer has no metric to take it in, or two proximal penalties on the same weights."""
    proximal = [index for index, penalty in enumerate(spec.penalties) if penalty.is_proximal and penalty.lambda_ > 0]
    if (reason := spec.optimizer.no_metric) is not None:
        for index in proximal:
            yield Fault(("penalties", index), "no_metric", f"a proximal {spec.penalties[index].kind} is not possible here: {reason}")
    for first, second in ((a, b) for k, a in enumerate(proximal) for b in proximal[k + 1 :]):
        if _overlap(spec.penalties[first].on, spec.penalties[second].on):
            yield Fault(
                ("penalties", second),
                "overlap",
                f"penalties {first} and {second} are both proximal and on the same weights; add their lambdas in one",
            )


def _overlap(one: str | tuple[str, ...], other: str | tuple[str, ...]) -> bool:
    return not (isinstance(one, tuple) and isinstance(other, tuple)) or bool(set(one) & set(other))

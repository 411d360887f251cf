"""Which penalties mean something together with an optimizer, and with one another."""

from collections.abc import Iterator
from itertools import combinations

from contract.spec import JobSpec, laid, optimizers, plan
from contract.spec.faults import Fault
from contract.spec.penalties import Penalty


def faults(spec: JobSpec) -> Iterator[Fault]:
    """A penalty in a form that the optimizer cannot take, or two proximal penalties on the same weights."""
    active = [(index, penalty) for index, penalty in enumerate(spec.penalties) if penalty.is_active]
    for index, penalty in active:
        if refusal := _refusal(spec.optimizer, penalty):
            yield Fault(("penalties", index), *refusal)
    # A max_norm beside a penalty means something: it comes last, and only scales rows back.
    yield from _overlaps(spec, [index for index, penalty in active if penalty.is_proximal and penalty.strength > 0])


def _overlaps(spec: JobSpec, shrinking: list[int]) -> Iterator[Fault]:
    try:
        network = plan.layers(spec.model, spec.dataset.shape())
    except plan.MisfitError:
        return  # told by the check of the network
    under = {index: _under(spec.penalties[index], network) for index in shrinking}
    for first, second in combinations(shrinking, 2):
        if shared := [layer.name for layer in network if layer.name in under[first] & under[second]]:
            yield Fault(
                ("penalties", second),
                "overlap",
                f"{spec.penalties[first].kind} and {spec.penalties[second].kind} (penalties {first} and {second}) are both proximal and on the "
                f"same weights ({', '.join(shared)}), and the map of a sum is not one map after the other; "
                f"{_in_one(spec.penalties[first].kind, spec.penalties[second].kind)}, or name different layers in their `on`",
            )


def _under(penalty: Penalty, network: tuple[plan.Layer, ...]) -> set[str]:
    """The names of the layers whose weights it moves."""
    return {layer.name for layer in (network if penalty.on == "all" else laid.layers(penalty, network))}


def _refusal(optimizer: optimizers.Optimizer, penalty: Penalty) -> tuple[str, str] | None:
    """Code and reason why `optimizer` cannot take `penalty`, by the form in which it acts: proximal, decay or coupled."""
    if penalty.is_proximal:
        code, form, reason = "no_metric", "a proximal ", optimizer.no_metric
    elif not penalty.in_objective:
        code, form, reason = "no_decay", "", optimizer.no_decay
    else:
        code, form, reason = "not_smooth", "a subgradient of ", None if penalty.is_smooth else optimizer.no_kinks
    return (code, f"{form}{penalty.kind} is not possible here: {reason}") if reason else None


def _in_one(one: str, other: str) -> str:
    """What says both penalties at once, or which to do without."""
    if one == other:
        return "add their lambdas in one"
    if {one, other} == {"l1", "group_lasso"}:
        return "use sparse_group, which is both"
    if {one, other} == {"l1", "elastic_net"}:
        return "put both into elastic_net"
    return f"keep {one} or {other}"

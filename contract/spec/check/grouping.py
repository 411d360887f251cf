"""Whether the network has the filters, neurons or matrices that penalties are made of."""

from collections.abc import Iterator

from contract.spec import JobSpec, laid, penalties, plan
from contract.spec.faults import Fault

_NOUNS = {"filter": "a convolution", "neuron": "a linear layer", "input_channel": "a convolution or a linear layer"}
_INSTEAD = {"filter": "use by 'neuron' or 'input_channel'", "neuron": "use by 'filter' or 'input_channel'"}


def faults(spec: JobSpec) -> Iterator[Fault]:
    """A penalty on groups or matrices laid on biases and norms, on a layer of another sort, or on a network without such layers."""
    try:
        network = plan.layers(spec.model, spec.dataset.shape())
    except plan.MisfitError:
        return  # told where the network is checked
    for index, penalty in enumerate(spec.penalties):
        if penalty.dimensions is not None:
            yield from _misfits(spec, penalty, ("penalties", index), {layer.name: layer for layer in network})
        yield from _norms_in_groups(spec, index, network)


def _misfits(spec: JobSpec, penalty: penalties.Penalty, path: tuple[str | int, ...], network: dict[str, plan.Layer]) -> Iterator[Fault]:
    by = penalty.by if isinstance(penalty, penalties.GroupLasso | penalties.SparseGroup) else None
    needs = f"{penalty.kind}{f' by {by}' if by else ''} lies on the weights of {_NOUNS[by or 'input_channel']}"
    if penalty.on == "all":
        remedy = "use on 'weights', and with_bias true to put both in the groups" if by in _INSTEAD else "use on 'weights'"
        yield Fault((*path, "on"), "no_groups", f"{needs}; biases and norm parameters have no such part: {remedy}")
    elif isinstance(penalty.on, tuple):
        for position, name in enumerate(penalty.on):
            if name in network and not laid.fits(penalty, network[name]):
                yield Fault((*path, "on", position), "no_groups", f"{needs} and '{name}' is none; leave it out{_or(by)}")
    elif not laid.layers(penalty, list(network.values())):
        yield Fault((*path, "by"), "no_groups", f"{needs} and this {spec.model.kind} has none; {_INSTEAD[by or 'filter']}")


def _norms_in_groups(spec: JobSpec, index: int, network: tuple[plan.Layer, ...]) -> Iterator[Fault]:
    """A norm that the penalty names, and that another one has in its groups."""
    penalty = spec.penalties[index]
    if not (isinstance(penalty.on, tuple) and penalty.is_proximal and penalty.is_active):
        return
    for other in spec.penalties:
        if isinstance(other, penalties.GroupLasso | penalties.SparseGroup) and other.with_bias and other.is_active:
            behind = plan.norms_behind(network)
            norms = {behind[layer.name] for layer in laid.layers(other, network) if layer.name in behind}
            for name in sorted(norms & set(penalty.on)):
                message = f"'{name}' is in the groups of {other.kind} with_bias and both are proximal; leave it out, or drop with_bias"
                yield Fault(("penalties", index, "on"), "overlap", message)


def _or(by: penalties.By | None) -> str:
    return f", or {_INSTEAD[by]}" if by in _INSTEAD else ""

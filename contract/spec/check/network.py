"""Whether the network can be built on the data, and has the layers that penalties name."""

from collections.abc import Iterator

from contract.spec import JobSpec, plan
from contract.spec.faults import Fault, nearest

MAX_PARAMETERS = 50_000_000
_SHOWN = 12


def faults(spec: JobSpec) -> Iterator[Fault]:
    """A misfit between layers, a network too large, or a layer that is not there."""
    try:
        network = plan.layers(spec.model, spec.dataset.shape())
    except plan.MisfitError as misfit:
        yield Fault(("model", *misfit.field), "shape_misfit", str(misfit))
        return
    if (count := plan.parameters(network)) > MAX_PARAMETERS:
        yield Fault(("model",), "too_large", f"{count:,} parameters; {MAX_PARAMETERS:,} at most: take narrower or fewer layers")
    yield from _unknown_layers(spec, [layer.name for layer in network])


def _unknown_layers(spec: JobSpec, names: list[str]) -> Iterator[Fault]:
    for index, penalty in enumerate(spec.penalties):
        for position, name in enumerate(penalty.on if isinstance(penalty.on, tuple) else ()):
            if name not in names:
                message = f"this {spec.model.kind} has no layer '{name}'; {_instead(name, names)}"
                yield Fault(("penalties", index, "on", position), "unknown_layer", message)


def _instead(name: str, names: list[str]) -> str:
    """The layers there are, or of a deep network those most like the one named."""
    if len(names) <= _SHOWN:
        return f"it has {', '.join(names)}"
    near = nearest(name, names)
    hint = f"did you mean '{near}'? " if near else ""
    return f"{hint}POST /v1/jobs/validate names its {len(names)} layers, given the spec without this penalty"

"""Whether the optimizer can step the network: what it needs of the layers, or cannot have among them."""

from collections.abc import Iterator

from contract.spec import JobSpec, optimizers, plan
from contract.spec.faults import Fault


def faults(spec: JobSpec) -> Iterator[Fault]:
    """A matrix optimizer on a network without a hidden matrix, or running statistics under weights that are averaged."""
    try:
        network = plan.layers(spec.model, spec.dataset.shape())
    except plan.MisfitError:
        return  # told by the check of the network
    if isinstance(optimizers.stepping(spec.optimizer), optimizers.Muon) and sum(len(layer.weight) > 1 for layer in network) < 2:
        yield Fault(
            ("optimizer", "kind"),
            "no_hidden_matrix",
            f"muon steps the matrices between input and output layer, and {spec.model.kind} has none; use adamw, or a model with hidden layers",
        )
    if isinstance(spec.optimizer, optimizers.ScheduleFree) and any(layer.norm for layer in network):
        yield Fault(
            ("optimizer", "kind"),
            "norm_misfit",
            "batch norm gathers its running statistics at the weights y of schedule_free, while the average x is what is measured and saved; "
            "use a model without norm, or adamw with a cosine schedule",
        )

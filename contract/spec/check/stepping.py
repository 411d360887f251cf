"""Whether the optimizer can step the network: what it needs of the layers, or cannot have among them."""

from collections.abc import Iterator

from contract.spec import JobSpec, datasets, optimizers, plan
from contract.spec.faults import Fault


def faults(spec: JobSpec) -> Iterator[Fault]:
    """A matrix optimizer on a network without a hidden matrix, running statistics under weights that are averaged, or a norm over a
    single value."""
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
    if (rows := _training_rows(spec)) and (name := plan.lone_norm(network, rows, spec.batch_size)):
        yield Fault(
            ("batch_size",),
            "lone_row",
            f"{rows} training rows in batches of {spec.batch_size} leave a batch of one row, of which '{name}' sees a single pixel and "
            "has no variance; use another batch_size, larger images, or no norm",
        )


def _training_rows(spec: JobSpec) -> int | None:
    """How many rows there will be to train on, as far as the spec says; as many as a batch has where only the file would tell."""
    data = spec.dataset
    if isinstance(data, datasets.Builtin):
        return None if spec.batch_size == "full" else spec.batch_size
    rows = data.train_rows if isinstance(data, datasets.Fake) else data.training_rows()
    labelled = rows - datasets.share_of(rows, data.missing_labels)
    return labelled - datasets.held_out(labelled, data.validation_fraction)

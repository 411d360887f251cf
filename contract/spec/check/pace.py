"""Whether optimizer, batch size and schedule agree on what a step is."""

from collections.abc import Iterator

from contract.spec import JobSpec, optimizers
from contract.spec.faults import Fault


def faults(spec: JobSpec) -> Iterator[Fault]:
    """A full-batch optimizer on mini-batches, or a warm-up longer than the job."""
    if isinstance(spec.optimizer, optimizers.GD) and spec.batch_size != "full":
        yield Fault(
            ("batch_size",),
            "not_full_batch",
            f"gd steps on the whole training set and cannot take batch_size {spec.batch_size}; drop it, or use sgd",
        )
    if spec.schedule.warmup_epochs > spec.epochs:
        yield Fault(
            ("schedule", "warmup_epochs"),
            "beyond_epochs",
            f"the warm-up of {spec.schedule.warmup_epochs:g} epochs outlasts the job's {spec.epochs}; shorten it",
        )

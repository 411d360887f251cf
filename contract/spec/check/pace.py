"""Whether optimizer, batch size and schedule agree on what a step is."""

from collections.abc import Iterator

from contract.spec import JobSpec, optimizers, schedules
from contract.spec.faults import Fault


def faults(spec: JobSpec) -> Iterator[Fault]:
    """A full-batch optimizer on mini-batches, a warm-up longer than the job, or a schedule where the optimizer wants none."""
    if spec.optimizer.full_batch and spec.batch_size != "full":
        other = "sam around sgd" if isinstance(spec.optimizer, optimizers.SAM) else "sgd"
        yield Fault(
            ("batch_size",),
            "not_full_batch",
            f"{optimizers.stepping(spec.optimizer).kind} steps on the whole training set and cannot take batch_size {spec.batch_size}; "
            f"drop it, or use {other}",
        )
    if spec.schedule.warmup_epochs > spec.epochs:
        yield Fault(
            ("schedule", "warmup_epochs"),
            "beyond_epochs",
            f"the warm-up of {spec.schedule.warmup_epochs:g} epochs outlasts the job's {spec.epochs}; shorten it",
        )
    if isinstance(spec.optimizer, optimizers.ScheduleFree) and not isinstance(spec.schedule, schedules.Constant):
        yield Fault(
            ("schedule", "kind"),
            "schedule_misfit",
            f"the average of schedule_free takes the place of a schedule and {spec.schedule.kind} would spoil it; "
            "use constant, with a warm-up if you like, or adamw",
        )

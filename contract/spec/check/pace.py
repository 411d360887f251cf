"""Whether optimizer, batch size and schedule agree on what a step is."""

from collections.abc import Iterator

from contract.spec import JobSpec, optimizers, schedules
from contract.spec.faults import Fault


def faults(spec: JobSpec) -> Iterator[Fault]:
    """A full-batch optimizer on mini-batches, a warm-up of lr or λ longer than the job, or a schedule where the optimizer wants none."""
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
    for index, penalty in enumerate(spec.penalties):
        warmup = getattr(penalty, "warmup_epochs", 0.0)
        if warmup > spec.epochs:
            message = f"λ rises for {warmup:g} epochs and is never reached in the job's {spec.epochs}; shorten the warm-up"
            yield Fault(("penalties", index, "warmup_epochs"), "beyond_epochs", message)
    if not isinstance(spec.schedule, schedules.Constant) and (reason := _no_schedule(spec.optimizer)):
        yield Fault(("schedule", "kind"), "schedule_misfit", f"{reason}; use constant in place of {spec.schedule.kind}, or adamw")


def _no_schedule(optimizer: optimizers.Optimizer) -> str | None:
    """Why the learning rate of `optimizer` must not fall; None where it may."""
    if isinstance(optimizer, optimizers.ScheduleFree):
        return "the average of schedule_free takes the place of a schedule, which would spoil it"
    if isinstance(optimizer, optimizers.LBFGS) and optimizer.line_search_fn:
        return "the line search of lbfgs finds the length of each step, and lr is only its first trial"
    return None

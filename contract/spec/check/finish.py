"""Whether averaging and polish mean something for the job they are asked for."""

from collections.abc import Iterator

from contract.spec import JobSpec, finish, optimizers
from contract.spec.faults import Fault


def faults(spec: JobSpec) -> Iterator[Fault]:
    """An average of an average, or a polish of a network that nothing makes sparse."""
    if spec.averaging is not None and isinstance(spec.optimizer, optimizers.ScheduleFree):
        yield Fault(
            ("averaging",),
            "averaged_twice",
            f"{spec.optimizer.kind} gives away an average of its own already; drop averaging, or use adamw",
        )
    if spec.polish is not None and not any(finish.sparsifies(penalty) for penalty in spec.penalties):
        yield Fault(
            ("polish",),
            "nothing_to_polish",
            "no penalty of this job sets weights to exact zero, so there is no support to freeze; add a proximal one (l1) or drop polish",
        )

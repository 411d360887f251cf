"""How training says that a job cannot go on."""

import torch

from contract.events import FailureCode


class TrainingError(Exception):
    """A job cannot go on. `message` names the value and the place, `hint` the remedy; both reach the user."""

    def __init__(self, code: FailureCode, message: str, hint: str) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


class DataInvalidError(TrainingError):
    """The data cannot be read or is not what its name promises."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(FailureCode.DATA_INVALID, message, hint)


class ArtifactCorruptError(TrainingError):
    """A checkpoint is not what was written, or belongs to another job."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(FailureCode.ARTIFACT_CORRUPT, message, hint)


class DivergedError(TrainingError):
    """Loss, gradient or weights became non-finite."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(FailureCode.DIVERGED, message, hint)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the machine or the device had no memory left. On the CPU torch says so with a RuntimeError of its allocator."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (isinstance(error, RuntimeError) and "allocate memory" in str(error))


def is_device_lost(error: BaseException) -> bool:
    """Whether CUDA has failed for good in this process, as after an illegal access: whatever it is asked next fails too."""
    return isinstance(error, RuntimeError) and "CUDA error" in str(error) and not is_out_of_memory(error)

"""What a trainer can be told: one JSON line each on its standard input, and a signal."""

import signal
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from contract.spec import JobSpec

DUMP_SIGNAL: Final = signal.SIGUSR1
"""Has the trainer write the stack of every thread to its log; see `worker.training.lifeline`."""


class _Order(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Train(_Order):
    """Train this job. The trainer answers Started, then events until Finished, Stopped or Failed."""

    order: Literal["train"] = "train"
    job_id: str
    spec: JobSpec
    scratch: str
    """An empty folder for this attempt's checkpoints."""
    checkpoint: str | None = None
    """The folder of a whole checkpoint to resume from."""
    weights: str | None = None
    """The file of the weights to start from, where no checkpoint is resumed; the seed draws them otherwise."""
    checkpoint_seconds: float = 300.0
    """In an epoch longer than this, an interim checkpoint is written each time so long has passed."""
    checkpoint_share: float = 0.02
    """Of the time, that copying and writing checkpoints may take."""
    begun_with_epochs: int | None = None
    """`epochs` of the job that wrote the checkpoint, where this one extends it."""


class Stop(_Order):
    """Stop at the next step boundary. The trainer writes a checkpoint there if `save`, then answers Stopped and is idle."""

    order: Literal["stop"] = "stop"
    job_id: str
    save: bool = True


Order = Annotated[Train | Stop, Field(discriminator="order")]
_ORDER: TypeAdapter[Order] = TypeAdapter(Order)


def to_line(order: Order) -> str:
    """One line of JSON without its newline."""
    return order.model_dump_json()


def from_line(line: str | bytes) -> Order:
    """The order a line holds. Raises pydantic's ValidationError on anything else."""
    return _ORDER.validate_json(line)

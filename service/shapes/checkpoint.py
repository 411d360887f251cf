"""A checkpoint as a client sees it, and its files."""

from typing import Literal

from service.shapes.base import Numbers, Page, Time, View


class CheckpointFile(View):
    """One file of a checkpoint."""

    name: str
    """As in its path."""
    size_bytes: int
    """Bytes."""
    sha256: str
    """Of its content, in hexadecimal digits."""
    href: str
    """Path on this server."""


class Checkpoint(View):
    """A whole checkpoint, ready for download."""

    object: Literal["training.checkpoint"] = "training.checkpoint"
    id: str
    """Sorts by time of writing."""
    job_id: str
    """The job that wrote it."""
    epoch: int
    """Epochs done."""
    step: int
    """Optimizer steps done."""
    metrics: Numbers
    """Of the last epoch done."""
    aliases: list[str]
    """`best`, `last`, or both: names that serve in place of the id."""
    pinned: bool
    """Whether it is kept whatever the policy says."""
    size_bytes: int
    """Bytes of all its files."""
    format: Literal["safetensors"] = "safetensors"
    files: list[CheckpointFile]
    """What can be downloaded."""
    created_at: Time
    """When it was written."""


class CheckpointList(Page[Checkpoint]):
    """The checkpoints that are kept, newest first."""

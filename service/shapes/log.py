"""What a job logged, as a client sees it."""

from typing import Literal

from service.shapes.base import Page, Time, View


class LogLine(View):
    """Something that a job logged."""

    object: Literal["training.log"] = "training.log"
    seq: int
    """Of the event that it is; rises within the job, with gaps."""
    at: Time
    """When it was written down."""
    level: str
    """`info`, `warning` or `error`."""
    source: str
    """`job` for its moves between states, `trainer` for what was said while it trained."""
    message: str
    """One line for people."""
    lines: list[str]
    """What the trainer wrote to its standard error last, where it died or hung; else empty."""


class LogPage(Page[LogLine]):
    """A part of what a job logged, oldest first."""

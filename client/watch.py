"""What someone who follows a job sees: a bar on a terminal, plain lines in a pipe, JSON lines for a program."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from client.sdk import Client
from client.wire import Json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID


def follow(client: Client, job_id: str, console: "Console") -> Json:
    """Show the job's events on the console until it is over; the job as it ended."""
    epochs = client.job(job_id)["progress"]["epochs"]
    with _bar(console, epochs) as bar:
        for event in client.events(job_id):
            bar.move(event)
            if line := describe(event, epochs):
                console.print(line, highlight=False, markup=False, soft_wrap=True)
    return client.job(job_id)


def follow_as_json(client: Client, job_id: str) -> Json:
    """Print each event as a line of JSON as it comes, then the job as it ended, which is returned."""
    # A server that was never there is told of soon; one that goes away later is waited for much longer.
    client.job(job_id)
    for event in client.events(job_id):
        print(json.dumps(event), flush=True)
    job = client.job(job_id)
    print(json.dumps(job), flush=True)
    return job


def describe(event: Json, epochs: int) -> str | None:
    """A line for what is worth one: states, epochs with their loss terms, warnings."""
    data = event["data"]
    match event["type"]:
        case "status":
            reason = f": {data['reason']}" if data.get("reason") else ""
            return f"{data.get('to', event.get('message', ''))}{reason}"
        case "epoch":
            return f"epoch {data['epoch']:>{len(str(epochs))}}/{epochs}  {terms(data['metrics'])}"
        case "warning":
            return f"warning: {event['message']}"
        case "log":
            return str(event["message"])
    return None


def terms(metrics: Json) -> str:
    """The loss terms apart, how far from stationary they leave the job that asks, then what validation says, where there is such."""
    penalties = [name for name in metrics if name.startswith("train.penalty.")]
    names = ["train.loss", *penalties, "train.gradient_mapping", "train.accuracy", "val.loss", "val.accuracy"]
    return "  ".join(f"{name.removeprefix('train.')} {number(metrics[name])}" for name in names if name in metrics)


def number(value: Any) -> str:
    """Four digits of a number; a non-finite one comes as its name and stays so."""
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)


class _Bar(Protocol):
    def move(self, event: Json) -> None: ...


class _NoBar:
    def move(self, event: Json) -> None:
        """A pipe wants lines, not a bar."""


class _LiveBar:
    """Counts epochs, with the fraction of the one that is being trained."""

    def __init__(self, progress: "Progress", task: "TaskID", epochs: int) -> None:
        self._progress, self._task, self._epochs = progress, task, epochs

    def move(self, event: Json) -> None:
        data = event["data"]
        match event["type"]:
            case "metrics":
                self._show(data["progress"]["fraction"] * self._epochs, data["latest_metrics"])
            case "epoch":
                self._show(data["epoch"], data["metrics"])

    def _show(self, done: float, metrics: Json) -> None:
        self._progress.update(self._task, description=terms(metrics), completed=done)


@contextmanager
def _bar(console: "Console", epochs: int) -> Iterator[_Bar]:
    if not console.is_terminal:
        yield _NoBar()
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, transient=True) as progress:
        yield _LiveBar(progress, progress.add_task("waiting", total=epochs), epochs)

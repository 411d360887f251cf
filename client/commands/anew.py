"""The commands that make a job of another: retry, extend, clone."""

from enum import StrEnum
from typing import Annotated

import typer

from client import terminal
from client.terminal import DEFAULT_URL, AsJson, Follow, JobId, Url

app = typer.Typer()


class Begin(StrEnum):
    """Where a retry begins."""

    LAST = "last"
    START = "start"


class Resume(StrEnum):
    """On what machine a job may go on from a checkpoint."""

    BITWISE = "bitwise"
    ANYWHERE = "anywhere"


@app.command()
def retry(
    job_id: JobId,
    begin: Annotated[Begin, typer.Option(help="Where it begins: at the last checkpoint, or at the start.")] = Begin.LAST,
    resume: Annotated[Resume | None, typer.Option(help="Where it may go on; as its spec says by default.")] = None,
    url: Url = DEFAULT_URL,
    *,
    follow: Follow = False,
    as_json: AsJson = False,
) -> None:
    """Do again what a job that failed or was cancelled did not do: a new job of its spec. Harmless to repeat."""
    with terminal.client_of(url) as client:
        job = client.retry(job_id, begin=begin, resume=resume)
        terminal.show_new(client, job, follow=follow, as_json=as_json)


@app.command()
def extend(
    job_id: JobId,
    epochs: Annotated[int, typer.Option(min=1, help="How many more.")],
    url: Url = DEFAULT_URL,
    *,
    follow: Follow = False,
    as_json: AsJson = False,
) -> None:
    """Train a job that succeeded for more epochs: a new job that goes on from its last checkpoint."""
    with terminal.client_of(url) as client:
        job = client.extend(job_id, epochs)
        terminal.show_new(client, job, follow=follow, as_json=as_json)


@app.command()
def clone(
    job_id: JobId,
    overrides: Annotated[
        str | None, typer.Argument(metavar="FILE", help="A merge patch of its spec as JSON; - reads it from stdin.")
    ] = None,
    init_from: Annotated[str | None, typer.Option(help="Start from the weights of a checkpoint: best, last or an id.")] = None,
    url: Url = DEFAULT_URL,
    *,
    follow: Follow = False,
    as_json: AsJson = False,
) -> None:
    """Submit a job like this one, but for what FILE says otherwise."""
    patch = terminal.read(overrides) if overrides else {}
    with terminal.client_of(url) as client:
        job = client.clone(job_id, patch, init_from=init_from)
        terminal.show_new(client, job, follow=follow, as_json=as_json)

"""The commands on what jobs found: results side by side, numbers, checkpoints."""

from pathlib import Path
from typing import Annotated

import typer

from client import terminal
from client.terminal import DEFAULT_URL, AsJson, JobId, Url

app = typer.Typer()


@app.command()
def compare(
    job_ids: Annotated[list[str], typer.Argument(metavar="JOB JOB", help="2 to 10 jobs.")],
    url: Url = DEFAULT_URL,
    *,
    as_json: AsJson = False,
) -> None:
    """Show in what jobs differ: their specs, and what they found."""
    from client import views

    with terminal.client_of(url) as client:
        found = client.compare(*job_ids)
    terminal.show(found, None if as_json else views.comparison(found), as_json=as_json)


@app.command()
def result(job_id: JobId, url: Url = DEFAULT_URL, *, as_json: AsJson = False) -> None:
    """Show what a finished job found."""
    from client import views

    with terminal.client_of(url) as client:
        found = client.result(job_id)
    terminal.show(found, None if as_json else views.result(found), as_json=as_json)


@app.command()
def metrics(
    job_id: JobId,
    names: Annotated[list[str] | None, typer.Option("--name", help="Only this metric, as val.loss; repeat it for several.")] = None,
    url: Url = DEFAULT_URL,
    *,
    as_json: AsJson = False,
) -> None:
    """Print a job's numbers as CSV."""
    asked = {"names": names} if names else {}
    with terminal.client_of(url) as client:
        if as_json:
            terminal.show(client.metrics(job_id, **asked), None, as_json=True)
        else:
            print(client.metrics_csv(job_id, **asked), end="")


@app.command()
def checkpoint(
    job_id: JobId,
    name: Annotated[str, typer.Argument(metavar="NAME", help="best, last or a checkpoint's id.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="File or folder to write to.")] = Path(),
    file: Annotated[str, typer.Option(help="Which file of the checkpoint.")] = "model.safetensors",
    url: Url = DEFAULT_URL,
    *,
    as_json: AsJson = False,
) -> None:
    """Download a file of a checkpoint and check its SHA-256; an interrupted download goes on where it stopped."""
    with terminal.client_of(url) as client:
        path = client.download(job_id, name, file, output)
    terminal.show({"object": "download", "path": str(path), "size_bytes": path.stat().st_size}, str(path), as_json=as_json)


@app.command()
def pin(
    job_id: JobId,
    name: Annotated[str, typer.Argument(metavar="NAME", help="best, last or a checkpoint's id.")],
    url: Url = DEFAULT_URL,
    *,
    off: Annotated[bool, typer.Option("--off", help="Leave it to the job's policy again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Keep a checkpoint whatever the job's policy says."""
    with terminal.client_of(url) as client:
        found = client.pin(job_id, name, pinned=not off)
    terminal.show(found, f"{found['id']} {'pinned' if found['pinned'] else 'not pinned'}", as_json=as_json)

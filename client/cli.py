"""The command line: one command for each thing a person asks, and an exit code that tells a script how it went."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from client import cli_datasets, keys, terminal, webhooks
from client.terminal import DEFAULT_URL, AsJson, JobId, Url

app = typer.Typer(
    cls=terminal.Outcomes,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Train networks with penalties on a Ridgeline server.",
    epilog="Exit codes: 0 done, or the job succeeded; 1 the job failed, or the stack could not run; 2 wrong usage, or the server "
    "refused; 3 the job was cancelled; 4 no server answers, or it is not ready; 130 interrupted by Ctrl-C.",
)
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(keys.app, name="keys")
DataDir = Annotated[Path, typer.Option(help="Where jobs, checkpoints and logs are kept.")]
Follow = Annotated[bool, typer.Option("--follow", help="Watch the job until it is over; the exit code is its outcome.")]


def _tell_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(version("ridgeline"))
        raise typer.Exit


@app.callback()
def main_options(
    version: Annotated[bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Train networks with penalties on a Ridgeline server."""


class Device(StrEnum):
    """Where workers train."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Begin(StrEnum):
    """Where a retry begins."""

    LAST = "last"
    START = "start"


class Resume(StrEnum):
    """On what machine a job may go on from a checkpoint."""

    BITWISE = "bitwise"
    ANYWHERE = "anywhere"


@app.command()
def up(
    host: Annotated[str, typer.Option(help="Address to listen on; beyond loopback it needs API keys: RIDGELINE_ADMIN_KEY.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes a free one.")] = 8000,
    data_dir: DataDir = Path("ridgeline-data"),
    workers: Annotated[int, typer.Option(min=1, max=64, help="How many jobs train at once.")] = 1,
    device: Annotated[Device | None, typer.Option(help="Where to train; RIDGELINE_DEVICE or auto by default.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Start broker, API and workers on this machine; prints one line once they are ready, and runs until Ctrl-C or SIGTERM."""
    from client.stack import Stack
    from client.up import serve

    def ready(url: str) -> None:
        print(json.dumps({"object": "stack", "status": "ready", "url": url}) if as_json else f"ready {url}", flush=True)

    serve(Stack(data_dir, host=host, port=port, workers=workers, device=device), ready)


@app.command()
def down(
    data_dir: DataDir = Path("ridgeline-data"),
    *,
    now: Annotated[bool, typer.Option("--now", help="Do not wait until a running job has written its checkpoint.")] = False,
    as_json: AsJson = False,
) -> None:
    """End the stack of a data folder, wherever it was started, and return once nothing of it runs; its jobs go on with the next up."""
    from client.down import end

    ended = end(data_dir, now=now)
    stack = {"object": "stack", "status": "stopped", "data_dir": str(data_dir.resolve()), "pid": ended.pid, "killed": ended.killed}
    said = (
        f"stopped the stack in {data_dir} (pid {ended.pid})"
        if ended.pid
        else f"no stack runs in {data_dir}" + ("" if data_dir.exists() else ", which does not exist")
    )
    left = f"; killed what another had left running: {', '.join(map(str, ended.killed))}" if ended.killed else ""
    terminal.show(stack, f"{said}{left}", as_json=as_json)


@app.command()
def submit(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The job spec as JSON; - reads it from stdin.")],
    url: Url = DEFAULT_URL,
    *,
    follow: Follow = False,
    as_json: AsJson = False,
) -> None:
    """Submit a job."""
    spec = terminal.read(file)
    with terminal.client_of(url) as client:
        job = client.submit(spec)
        terminal.show_new(client, job, follow=follow, as_json=as_json)


@app.command()
def watch(job_id: JobId, url: Url = DEFAULT_URL, *, as_json: AsJson = False) -> None:
    """Follow a job until it is over: loss terms and accuracy of each epoch; the exit code is the job's outcome."""
    with terminal.client_of(url) as client:
        terminal.watch(client, job_id, as_json=as_json)


@app.command()
def jobs(
    url: Url = DEFAULT_URL,
    status: Annotated[str | None, typer.Option(help="Only jobs in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 50,
    *,
    as_json: AsJson = False,
) -> None:
    """List jobs."""
    from itertools import islice

    from client import views

    with terminal.client_of(url) as client:
        filters = {"limit": min(limit, 100)} | ({"status": status} if status else {})
        found = list(islice(client.jobs(**filters), limit))
    terminal.show({"object": "list", "data": found}, views.jobs(found), as_json=as_json)


@app.command()
def show(job_id: JobId, url: Url = DEFAULT_URL, *, as_json: AsJson = False) -> None:
    """Show how a job stands."""
    from client import views

    with terminal.client_of(url) as client:
        job = client.job(job_id)
    terminal.show(job, views.job(job), as_json=as_json)


@app.command()
def cancel(job_id: JobId, url: Url = DEFAULT_URL, *, as_json: AsJson = False) -> None:
    """Ask for a job's end; it keeps a checkpoint. Harmless to repeat."""
    with terminal.client_of(url) as client:
        job = client.cancel(job_id)
    terminal.show(job, f"{job['id']} {job['status']}", as_json=as_json)


@app.command()
def pause(job_id: JobId, url: Url = DEFAULT_URL, *, as_json: AsJson = False) -> None:
    """Let a job rest on a checkpoint, its worker free for others and its limits put off. Harmless to repeat."""
    with terminal.client_of(url) as client:
        job = client.pause(job_id)
    terminal.show(job, f"{job['id']} {job['status']}", as_json=as_json)


@app.command()
def resume(job_id: JobId, url: Url = DEFAULT_URL, *, as_json: AsJson = False) -> None:
    """Have a paused job go on. Harmless to repeat."""
    with terminal.client_of(url) as client:
        job = client.resume(job_id)
    terminal.show(job, f"{job['id']} {job['status']}", as_json=as_json)


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


@app.command()
def update(
    job_id: JobId,
    name: Annotated[str | None, typer.Option(help="Its new name.")] = None,
    label: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Set a label; KEY= takes it away. Repeatable.")] = None,
    priority: Annotated[int | None, typer.Option(min=-100, max=100, help="Its new priority, while it is queued.")] = None,
    url: Url = DEFAULT_URL,
    *,
    as_json: AsJson = False,
) -> None:
    """Change a job's name, labels or priority."""
    if wrong := next((given for given in label or [] if "=" not in given), None):
        raise typer.BadParameter(f"'{wrong}' is no KEY=VALUE; '{wrong}=' takes the label away", param_hint="--label")
    labels = {key: value or None for key, _, value in (given.partition("=") for given in label or [])}
    asked = {"name": name, "priority": priority, "metadata": labels or None}
    with terminal.client_of(url) as client:
        job = client.update(job_id, {field: value for field, value in asked.items() if value is not None})
    terminal.show(job, f"{job['id']} {job['status']}", as_json=as_json)


@app.command()
def delete(job_id: JobId, url: Url = DEFAULT_URL, *, as_json: AsJson = False) -> None:
    """Delete a job that has ended, with everything it has left. Harmless to repeat."""
    with terminal.client_of(url) as client:
        client.delete(job_id)
    terminal.show({"object": "deletion", "id": job_id}, f"{job_id} deleted", as_json=as_json)


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


app.add_typer(cli_datasets.app, name="datasets")


def main() -> None:
    """The console script."""
    app()

"""The command line: one command for each thing a person asks, and an exit code that tells a script how it went."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperGroup

from client.errors import AddressError, ApiError, ClientError, ServerUnreachable, StackError

if TYPE_CHECKING:
    from rich.console import Console

    from client.sdk import Client
    from client.wire import Json

OK, FAILED, REFUSED, CANCELLED, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 4, 130
_OF_STATUS: Final = {"failed": FAILED, "cancelled": CANCELLED}


class _Outcomes(TyperGroup):
    """Turns every error that is meant for the reader into its message on stderr and its exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ClientError as error:
            print(error, file=sys.stderr)
            raise typer.Exit(_code(error)) from error


app = typer.Typer(
    cls=_Outcomes,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Train networks with penalties on a Ridgeline server.",
    epilog="Exit codes: 0 done, or the job succeeded; 1 the job failed, or the stack could not run; 2 wrong usage, or the server "
    "refused; 3 the job was cancelled; 4 no server answers, or it is not ready; 130 interrupted by Ctrl-C.",
)

Url = Annotated[str, typer.Option("--url", envvar="RIDGELINE_URL", help="Address of the server.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else.")]
JobId = Annotated[str, typer.Argument(metavar="ID", help="The job's id, as submit printed it.")]
DEFAULT_URL: Final = "http://127.0.0.1:8000"


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


@app.command()
def up(
    host: Annotated[str, typer.Option(help="Address to listen on; beyond loopback it needs RIDGELINE_ALLOW_OPEN=true.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes a free one.")] = 8000,
    data_dir: Annotated[Path, typer.Option(help="Where jobs, checkpoints and logs are kept.")] = Path("ridgeline-data"),
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
def submit(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The job spec as JSON; - reads it from stdin.")],
    url: Url = DEFAULT_URL,
    *,
    follow: Annotated[bool, typer.Option("--follow", help="Watch the job until it is over; the exit code is its outcome.")] = False,
    as_json: AsJson = False,
) -> None:
    """Submit a job."""
    spec = _read(file)
    with _client(url) as client:
        job = client.submit(spec)
        if as_json:
            print(json.dumps(job), flush=True)
        else:
            print(job["id"] if not follow else f"{job['id']} {job['status']}", flush=True)
        if follow:
            _watch(client, job["id"], as_json=as_json)


@app.command()
def watch(job_id: JobId, url: Url = DEFAULT_URL, *, as_json: AsJson = False) -> None:
    """Follow a job until it is over: loss terms and accuracy of each epoch; the exit code is the job's outcome."""
    with _client(url) as client:
        _watch(client, job_id, as_json=as_json)


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

    with _client(url) as client:
        filters = {"limit": min(limit, 100)} | ({"status": status} if status else {})
        found = list(islice(client.jobs(**filters), limit))
    _print({"object": "list", "data": found}, views.jobs(found), as_json=as_json)


@app.command()
def show(job_id: JobId, url: Url = DEFAULT_URL, *, as_json: AsJson = False) -> None:
    """Show how a job stands."""
    from client import views

    with _client(url) as client:
        job = client.job(job_id)
    _print(job, views.job(job), as_json=as_json)


@app.command()
def cancel(job_id: JobId, url: Url = DEFAULT_URL, *, as_json: AsJson = False) -> None:
    """Ask for a job's end; it keeps a checkpoint. Harmless to repeat."""
    with _client(url) as client:
        job = client.cancel(job_id)
    _print(job, f"{job['id']} {job['status']}", as_json=as_json)


@app.command()
def result(job_id: JobId, url: Url = DEFAULT_URL, *, as_json: AsJson = False) -> None:
    """Show what a finished job found."""
    from client import views

    with _client(url) as client:
        found = client.result(job_id)
    _print(found, None if as_json else views.result(found), as_json=as_json)


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
    with _client(url) as client:
        path = client.download(job_id, name, file, output)
    _print({"object": "download", "path": str(path), "size_bytes": path.stat().st_size}, str(path), as_json=as_json)


def main() -> None:
    """The console script."""
    app()


def _watch(client: "Client", job_id: str, *, as_json: bool) -> None:
    from client import watch as watching

    try:
        job = watching.follow_as_json(client, job_id) if as_json else watching.follow(client, job_id, _console())
    except KeyboardInterrupt:
        where = "" if client.url == DEFAULT_URL else f" --url {client.url}"
        print(f"\n{job_id} goes on. Come back with: ridgeline watch {job_id}{where}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    if error := job.get("error"):
        print(f"{error['code']}: {error['message']}\n{error.get('hint') or ''}".rstrip(), file=sys.stderr)
    raise typer.Exit(_OF_STATUS.get(job["status"], OK))


@contextmanager
def _client(url: str) -> "Iterator[Client]":
    from client.sdk import Client

    with Client(url) as client:
        yield client


def _read(file: str) -> "Json":
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text()
        spec = json.loads(text)
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="FILE") from error
    except ValueError as error:
        raise typer.BadParameter(f"{file} is no JSON: {error}", param_hint="FILE") from error
    if not isinstance(spec, dict):
        raise typer.BadParameter(f'{file} holds no JSON object; a job spec looks like {{"epochs": 10}}', param_hint="FILE")
    return spec


def _print(document: "Json", shown: Any, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(document, indent=2))
    elif isinstance(shown, str):
        print(shown)
    else:
        _console().print(shown)


def _console() -> "Console":
    from rich.console import Console

    # A pipe has no width: what is cut or folded there is lost on the program that reads it.
    return Console() if sys.stdout.isatty() else Console(width=500)


def _code(error: ClientError) -> int:
    match error:
        case AddressError():
            return REFUSED
        case ServerUnreachable():
            return UNREACHABLE
        case ApiError():
            return UNREACHABLE if error.status >= 500 else REFUSED
        case StackError():
            return FAILED
    return FAILED

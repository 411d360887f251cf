"""What all commands share: options, exit codes, and how things come onto the screen."""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperGroup

from client.errors import AddressError, ApiError, ClientError, ServerUnreachable, StackError, UnusableFileError

if TYPE_CHECKING:
    from rich.console import Console

    from client.sdk import Client
    from client.wire import Json

OK, FAILED, REFUSED, CANCELLED, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 4, 130
_OF_STATUS: Final = {"failed": FAILED, "cancelled": CANCELLED}

Url = Annotated[str, typer.Option("--url", envvar="RIDGELINE_URL", help="Address of the server.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else.")]
Follow = Annotated[bool, typer.Option("--follow", help="Watch the job until it is over; the exit code is its outcome.")]
JobId = Annotated[str, typer.Argument(metavar="ID", help="The job's id, as submit printed it.")]
DEFAULT_URL: Final = "http://127.0.0.1:8000"


class Outcomes(TyperGroup):
    """Turns every error that is meant for the reader into its message on stderr and its exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; a ClientError becomes its message on stderr (as JSON with `--json`) and its exit code."""
        # Before the command takes its options from it.
        as_json = "--json" in ctx.args
        try:
            return super().invoke(ctx)
        except ClientError as error:
            print(json.dumps(_document(error)) if as_json else error, file=sys.stderr)
            raise typer.Exit(_code(error)) from error


def show_new(client: "Client", job: "Json", *, follow: bool, as_json: bool) -> None:
    """Show a job that was just made, and what becomes of it if that is wanted."""
    if as_json:
        print(json.dumps(job), flush=True)
    else:
        print(job["id"] if not follow else f"{job['id']} {job['status']}", flush=True)
    if follow:
        watch(client, job["id"], as_json=as_json)


def watch(client: "Client", job_id: str, *, as_json: bool) -> None:
    """Follow a job until it is over, and exit with its outcome."""
    from client import watch as watching

    try:
        job = watching.follow_as_json(client, job_id) if as_json else watching.follow(client, job_id, console())
    except KeyboardInterrupt:
        where = "" if client.url == DEFAULT_URL else f" --url {client.url}"
        print(f"\n{job_id} goes on. Come back with: ridgeline watch {job_id}{where}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    if error := job.get("error"):
        print(f"{error['code']}: {error['message']}\n{error.get('hint') or ''}".rstrip(), file=sys.stderr)
    raise typer.Exit(_OF_STATUS.get(job["status"], OK))


@contextmanager
def client_of(url: str) -> "Iterator[Client]":
    """The SDK, imported only where a command needs it. Raises UnusableFileError where a file that it was given cannot be used."""
    from client.sdk import Client

    try:
        with Client(url) as client:
            yield client
    except OSError as error:
        if error.filename is None:  # no file: a pipe, say, whose reader has gone
            raise
        raise UnusableFileError(f"{error.filename}: {error.strerror}; name another place") from error


def read(file: str) -> "Json":
    """The job spec in a file, or on stdin for `-`."""
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


def show(document: "Json", shown: Any, *, as_json: bool) -> None:
    """Print the document, or what people want to see of it."""
    if as_json:
        print(json.dumps(document, indent=2))
    elif isinstance(shown, str):
        print(shown)
    else:
        console().print(shown)


def console() -> "Console":
    """Standard output, with as much width as there is."""
    from rich.console import Console

    # A pipe has no width: what is cut or folded there is lost on the program that reads it.
    return Console() if sys.stdout.isatty() else Console(width=500)


def _document(error: ClientError) -> "Json":
    """The error as a program reads it: the Problem's fields, where a server told one."""
    if isinstance(error, ApiError):
        told = {"status": error.status, "code": error.code, "message": error.detail, "errors": list(error.errors)}
        return {"object": "error", **told, "request_id": error.request_id}
    code = re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__.removesuffix("Error")).lower()
    return {"object": "error", "code": code, "message": str(error)}


def _code(error: ClientError) -> int:
    match error:
        case AddressError() | UnusableFileError():
            return REFUSED
        case ServerUnreachable():
            return UNREACHABLE
        case ApiError():
            return UNREACHABLE if error.status >= 500 else REFUSED
        case StackError():
            return FAILED
    return FAILED

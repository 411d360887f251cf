"""What a newcomer is shown in a minute: a stack of their own, the tutorial's job over HTTP, its result, and its checkpoint in use."""

import hashlib
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from client.errors import ClientError, StackError
from client.stack import Stack
from client.terminal import INTERRUPTED
from client.up import ended_by_signals
from client.wire import Json

if TYPE_CHECKING:
    from rich.console import Console

    from client.sdk import Client

_IMAGES: Final = 8
_LABEL: Final = {"made_by": "demo"}
_HOME: Final = Path(__file__).resolve().parent.parent / "ridgeline-data" / "demo"


def spec(epochs: int) -> Json:
    """The tutorial's job, every choice of it said."""
    return {
        "name": "the tutorial",
        "metadata": _LABEL,
        "dataset": {"kind": "builtin", "name": "fashion_mnist"},
        "model": {"kind": "tutorial_cnn"},
        "optimizer": {"kind": "adam", "lr": 1e-3},
        "penalties": [{"kind": "l2", "lambda": 5e-4}],
        "epochs": epochs,
    }


def run(
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the data.")] = 10,
    data_dir: Annotated[Path, typer.Option(help="Where the demo keeps its jobs.")] = _HOME,
    port: Annotated[int, typer.Option(help="Port of the API; 0 takes a free one.")] = 0,
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything up until Ctrl-C.")] = False,
) -> None:
    """Start Ridgeline on this machine, train the tutorial's network over HTTP, show what came of it, and stop everything."""
    from rich.console import Console

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    try:
        # A job is safe as soon as it is accepted; that its trainer is still loading torch shows as a few seconds in the queue.
        stack = Stack(data_dir, port=port, worker_too=False)
        is_shown = False
        with ended_by_signals(stack), stack:
            _show(stack, console, epochs)
            is_shown = True
            if keep:
                console.print(f"Still up at {stack.url}; Ctrl-C stops everything.")
                stack.wait()
    except ClientError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    if not is_shown:
        raise typer.Exit(INTERRUPTED)
    if not keep:
        console.print(
            f"\nEverything is stopped. Its jobs are kept in {data_dir}; `scripts/demo --keep` leaves it up, with the docs page at /docs."
        )


def _show(stack: Stack, console: "Console", epochs: int) -> None:
    from client import credentials, views, watch
    from client.sdk import Client

    console.print(f"Ridgeline is up at {stack.url}; docs at {stack.url}/docs\n")
    with Client(stack.url, api_key=credentials.of_own_stack()) as client:
        _clear_the_way(client)
        job = client.submit(spec(epochs))
        console.print(f"POST /v1/jobs -> {job['id']}")
        job = watch.follow(client, job["id"], console)
        if job["status"] != "succeeded":
            raise StackError(f"the job {job['status']}: {(job.get('error') or {}).get('message', '')}; logs are in {stack.data_dir}/logs")
        console.print()
        console.print(views.result(client.result(job["id"])))
        with tempfile.TemporaryDirectory() as folder:
            _use(client, job, Path(folder), console)


def _clear_the_way(client: "Client") -> None:
    """Cancel what a demo that was interrupted left in the queue: the new one would wait for it, and nobody else does."""
    for status in ("queued", "running"):
        for job in list(client.jobs(status=status)):
            if job["metadata"] == _LABEL:
                client.cancel(job["id"])


def _use(client: "Client", job: Json, folder: Path, console: "Console") -> None:
    """Download the best checkpoint and let it classify test images, with numpy alone."""
    from client import classify

    path = client.download(job["id"], "best", "model.safetensors", folder)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    console.print(
        f"\nbest checkpoint: {path.name}, {path.stat().st_size:,} bytes, sha256 {digest[:12]} as promised; read with numpy:", soft_wrap=True
    )
    source = job["dataset"]["source"]
    images, labels = classify.test_images(source, _IMAGES)
    found, probabilities = classify.classify(path, images, source)
    for label, guess, probability in zip(labels.tolist(), found.tolist(), probabilities.tolist(), strict=True):
        mark = "right" if guess == label else f"wrong, it is {classify.CLASSES[label]}"
        console.print(f"  {classify.CLASSES[guess]:<12} {probability:>6.1%}  {mark}")


if __name__ == "__main__":
    typer.run(run)

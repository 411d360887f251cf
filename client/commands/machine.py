"""The commands on the stack of this machine: start it, end it."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from client import terminal
from client.terminal import AsJson

app = typer.Typer()
DataDir = Annotated[Path, typer.Option(help="Where jobs, checkpoints and logs are kept.")]


class Device(StrEnum):
    """Where workers train."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


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

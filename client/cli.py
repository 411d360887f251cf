"""The command line: one command for each thing a person asks, and an exit code that tells a script how it went."""

from typing import Annotated

import typer

from client import terminal
from client.commands import anew, datasets, findings, jobs, keys, machine, webhooks

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
for commands in (machine.app, jobs.app, anew.app, findings.app):
    app.add_typer(commands)
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(keys.app, name="keys")
app.add_typer(datasets.app, name="datasets")


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


def main() -> None:
    """The console script."""
    app()

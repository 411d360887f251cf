"""The commands on data sets: upload, list, delete."""

from pathlib import Path
from typing import Annotated

import typer

from client import terminal
from client.terminal import DEFAULT_URL, AsJson, Url

app = typer.Typer(cls=terminal.Outcomes, no_args_is_help=True, rich_markup_mode=None, help="Data of your own to train on.")


@app.command()
def upload(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A .npz of x and y, a zip of IDX files, or a zip of class folders of images.")
    ],
    name: Annotated[str | None, typer.Option(help="A name for it; the file's by default.")] = None,
    url: Url = DEFAULT_URL,
    *,
    as_json: AsJson = False,
) -> None:
    """Upload a data set; prints its id. The same content again is the same data set."""
    if not file.is_file():
        raise typer.BadParameter(f"{file} is no file", param_hint="FILE")
    with terminal.client_of(url) as client:
        made = client.upload_dataset(file, name)
    terminal.show(made, made["id"], as_json=as_json)


@app.command(name="list")
def listed(url: Url = DEFAULT_URL, *, as_json: AsJson = False) -> None:
    """List your data sets, newest first."""
    from client import views

    with terminal.client_of(url) as client:
        found = list(client.datasets())
    terminal.show({"object": "list", "data": found}, views.datasets(found), as_json=as_json)


@app.command()
def delete(
    dataset_id: Annotated[str, typer.Argument(metavar="ID", help="The data set's id, as upload printed it.")],
    url: Url = DEFAULT_URL,
    *,
    as_json: AsJson = False,
) -> None:
    """Delete a data set that no job waits for or trains on."""
    with terminal.client_of(url) as client:
        client.delete_dataset(dataset_id)
    terminal.show({"object": "dataset", "id": dataset_id, "deleted": True}, f"{dataset_id} deleted", as_json=as_json)

"""The command line for API keys: make, list, revoke; with the key of an admin in RIDGELINE_API_KEY."""

from typing import Annotated

import typer

from client import terminal
from client.terminal import DEFAULT_URL, AsJson, Url

app = typer.Typer(
    cls=terminal.Outcomes, no_args_is_help=True, help="Make, list and revoke API keys; needs the key of an admin in RIDGELINE_API_KEY."
)
_DEFAULT = ("jobs:read", "jobs:write", "datasets:write")


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for, as ci or ada-laptop.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="What it may do; repeat it for several. jobs:read, jobs:write and datasets:write by default.")
    ] = None,
    expires: Annotated[str | None, typer.Option(help="From when on it lets nobody in, as 2027-01-01T00:00:00Z.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Whose jobs it sees; another tenant's than yours for the operator only.")] = None,
    url: Url = DEFAULT_URL,
    *,
    admin: Annotated[bool, typer.Option("--admin", help="It may do everything, also make other keys.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a key and print its secret, which is shown this once."""
    with terminal.client_of(url) as client:
        key = client.create_key(name, ["admin"] if admin else scope or _DEFAULT, expires_at=expires, tenant=tenant)
    if not as_json:
        typer.echo(f"{key['id']} of tenant {key['tenant']} may {' '.join(key['scopes'])}; its secret is shown this once:", err=True)
    terminal.show(key, key["secret"], as_json=as_json)


@app.command("list")
def listed(url: Url = DEFAULT_URL, *, as_json: AsJson = False) -> None:
    """List keys, without their secrets; the revoked too."""
    from client import views

    with terminal.client_of(url) as client:
        found = list(client.keys())
    terminal.show({"object": "list", "data": found}, None if as_json else views.keys(found), as_json=as_json)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as list shows it.")],
    url: Url = DEFAULT_URL,
    *,
    as_json: AsJson = False,
) -> None:
    """Have a key let nobody in any more. Harmless to repeat."""
    with terminal.client_of(url) as client:
        client.revoke_key(key_id)
    terminal.show({"object": "api_key", "id": key_id, "is_active": False}, f"{key_id} is revoked", as_json=as_json)

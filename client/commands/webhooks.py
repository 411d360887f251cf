"""The commands about webhooks: who is told of jobs."""

from typing import Annotated

import typer

from client import terminal
from client.terminal import DEFAULT_URL, AsJson, Url

app = typer.Typer(no_args_is_help=True, help="Have another service told of jobs.", rich_markup_mode=None)
WebhookId = Annotated[str, typer.Argument(metavar="ID", help="The webhook's id, as create printed it.")]


@app.command()
def create(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="Where to post to: https, on a public host.")],
    event: Annotated[list[str] | None, typer.Option(help="What to tell, as job.failed; repeat it for several. All by default.")] = None,
    url: Url = DEFAULT_URL,
    *,
    as_json: AsJson = False,
) -> None:
    """Make a webhook; prints its id and the secret that verifies its messages, which is shown this once."""
    with terminal.client_of(url) as client:
        webhook = client.create_webhook(target, event or ())
    terminal.show(webhook, f"{webhook['id']}\n{webhook['secret']}", as_json=as_json)


@app.command("list")
def listed(url: Url = DEFAULT_URL, *, as_json: AsJson = False) -> None:
    """List webhooks."""
    with terminal.client_of(url) as client:
        found = list(client.webhooks())
    lines = [
        f"{webhook['id']}  {'on' if webhook['enabled'] else 'off'}  {webhook['url']}  {' '.join(webhook['events'])}" for webhook in found
    ]
    terminal.show({"object": "list", "data": found}, "\n".join(lines), as_json=as_json)


@app.command("test")
def try_out(webhook_id: WebhookId, url: Url = DEFAULT_URL, *, as_json: AsJson = False) -> None:
    """Send a test message now; exits with 1 where it does not arrive."""
    with terminal.client_of(url) as client:
        delivery = client.test_webhook(webhook_id)
    terminal.show(delivery, f"{delivery['id']} {delivery['status']}" + (f": {why}" if (why := delivery["error"]) else ""), as_json=as_json)
    if delivery["status"] != "delivered":
        raise typer.Exit(terminal.FAILED)


@app.command()
def delete(webhook_id: WebhookId, url: Url = DEFAULT_URL, *, as_json: AsJson = False) -> None:
    """Delete a webhook with its log."""
    with terminal.client_of(url) as client:
        client.delete_webhook(webhook_id)
    terminal.show({"object": "webhook", "id": webhook_id, "deleted": True}, f"{webhook_id} deleted", as_json=as_json)

"""The commands on a job as it stands: submit, follow, list, show, stop and start, change, delete."""

from typing import Annotated

import typer

from client import terminal
from client.terminal import DEFAULT_URL, AsJson, Follow, JobId, Url

app = typer.Typer()


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

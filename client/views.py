"""How jobs and results look on a console."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from client.watch import number, terms
from client.wire import Json

if TYPE_CHECKING:
    from rich.table import Table


def jobs(found: Iterable[Json]) -> "Table":
    """A row for each job: how far it has come, and its accuracy on validation rows where it was told."""
    table = _table("id", "name", "status", "epoch", "val.accuracy", "created")
    for job in found:
        progress, metrics = job["progress"], job["latest_metrics"]
        accuracy = number(metrics["val.accuracy"]) if "val.accuracy" in metrics else ""
        table.add_row(job["id"], job["name"] or "", job["status"], f"{progress['epoch']}/{progress['epochs']}", accuracy, job["created_at"])
    return table


def datasets(found: Iterable[Json]) -> "Table":
    """A row for each data set: the shape and type of a row of it, what is to be predicted, how many rows."""
    table = _table("id", "name", "row", "type", "targets", "rows", "test rows", "created")
    for one in found:
        row, targets = " x ".join(map(str, one["shape"])), f"{one['outputs']} {one['targets']}"
        table.add_row(one["id"], one["name"], row, one["dtype"], targets, str(one["train_rows"]), str(one["test_rows"]), one["created_at"])
    return table


def keys(found: Iterable[Json]) -> "Table":
    """A row for each API key. No secret stands in it: the server does not have them."""
    table = _table("id", "name", "tenant", "scopes", "active", "last used")
    for key in found:
        active = "yes" if key["is_active"] else "no"
        table.add_row(key["id"], key["name"], key["tenant"], " ".join(key["scopes"]), active, key["last_used_at"] or "")
    return table


def job(shown: Json) -> "Table":
    """How one job stands; what it has none of (a name, a place in the queue, an error) has no line."""
    progress, data = shown["progress"], shown.get("dataset") or {}
    table = _pairs()
    table.add_row("job", shown["id"])
    if shown["name"]:
        table.add_row("name", shown["name"])
    table.add_row("status", " ".join(filter(None, [shown["status"], shown.get("status_reason")])))
    if queue := shown.get("queue"):
        only = f", for a worker with {queue['waits_for']}" if queue.get("waits_for") else ""
        table.add_row("queue", f"place {queue['position']}, {queue['jobs_ahead']} ahead{only}")
    if parent := shown.get("parent"):
        table.add_row("parent", f"{parent['relation']} of {parent['job_id']}, from {parent.get('checkpoint_id') or 'its start'}")
    table.add_row("epoch", f"{progress['epoch']} of {progress['epochs']}")
    if shown["latest_metrics"]:
        table.add_row("metrics", terms(shown["latest_metrics"]))
    if best := shown.get("best"):
        table.add_row("best", f"epoch {best['epoch']}, {best['metric']} {number(best['value'])}, {best['checkpoint_id']}")
    if data.get("train_rows"):
        table.add_row("data", lineage(data))
    if error := shown.get("error"):
        table.add_row("error", f"{error['code']}: {error['message']}\n{error.get('hint') or ''}".strip())
    return table


def comparison(shown: Json) -> "Table":
    """A column for each job; what is the same in all their specs is left out."""
    ids = [job["id"] for job in shown["jobs"]]
    table = _table("", *ids)
    table.add_row("status", *(job["status"] for job in shown["jobs"]))
    for difference in shown["differences"]:
        table.add_row(difference["pointer"], *(str(difference["values"].get(job_id, "")) for job_id in ids))
    results = [(job["result"] or {}).get("metrics") or {} for job in shown["jobs"]]
    for name in dict.fromkeys(name for metrics in results for name in metrics):
        table.add_row(name, *(number(metrics[name]) if name in metrics else "" for metrics in results))
    return table


def result(shown: Json) -> "Table":
    """What a job found: its loss terms, accuracies and exact zeros, on which data and how fast."""
    metrics, machine, layers = shown["metrics"], shown["machine"], shown["layers"]
    table = _pairs()
    table.add_row("epochs", f"{shown['epochs']} ({shown['stop_reason']}), best {shown['best_epoch']}")
    for name in ("train.loss", *(name for name in metrics if name.startswith("train.penalty."))):
        if name in metrics:
            table.add_row({"train.loss": "data loss"}.get(name, f"penalty {name.rpartition('.')[2]}"), number(metrics[name]))
    for name, label in (("train.objective", "objective"), ("train.gradient_mapping", "gradient mapping")):
        if name in metrics:
            table.add_row(label, number(metrics[name]))
    for split in ("val", "test"):
        # Real targets have no accuracy; then the loss is what there is.
        name = f"{split}.accuracy" if f"{split}.accuracy" in metrics else f"{split}.loss"
        if name in metrics:
            table.add_row(name.replace(".", " "), number(metrics[name]))
    if "test.ece" in metrics:
        table.add_row("calibration", "  ".join(f"{name} {number(metrics[f'test.{name}'])}" for name in ("nll", "brier", "ece")))
    table.add_row("exact zeros", "\n".join(f"{layer['name']} {layer['zeros']:,} of {layer['size']:,}" for layer in layers))
    if dead := [layer for layer in layers if layer.get("dead_filters")]:
        table.add_row("dead filters", "\n".join(f"{layer['name']} {layer['dead_filters']:,} of {layer['filters']:,}" for layer in dead))
    if measured := [layer for layer in layers if layer.get("sigma_max") is not None]:
        table.add_row("largest σ", "  ".join(f"{layer['name']} {number(layer['sigma_max'])}" for layer in measured))
    table.add_row("data", lineage(shown["data"]))
    table.add_row("device", f"{machine['device']}, {machine['precision']}, {machine['threads']} threads")
    table.add_row("speed", f"{shown['samples_per_second']:,.0f} samples/s")
    return table


def lineage(data: Json) -> str:
    """Which data it was, so that nobody takes a subset's accuracy for the whole set's."""
    rows = f"{data['train_rows']:,} + {data['validation_rows']:,} + {data['test_rows']:,} rows"
    return f"{data['name']} from {data['source']}, {rows} (train, validation, test), sha256 {data['sha256'][:12]}"


def _table(*columns: str) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=column in {"id", "status", "epoch"}, overflow="ellipsis")
    return table


def _pairs() -> "Table":
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    return table

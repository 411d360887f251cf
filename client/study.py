"""What a study is: jobs over several seeds, trained through the whole service, and the mean and spread of what they found.

A study is a file in `studies/`: `base` is a job spec, each of `jobs` a JSON merge patch (RFC 7396) on it, `seeds` the seeds that
each is trained with. Jobs carry idempotency keys made of their spec, so a study that was interrupted goes on where it stopped.
"""

import hashlib
import json
import os
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from client.errors import ClientError, StackError
from client.stack import Stack
from client.up import ended_by_signals
from client.wire import Json

if TYPE_CHECKING:
    from client.sdk import Client

_ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = _ROOT / "studies"
_HOME: Final = _ROOT / "ridgeline-data" / "studies"


def specs(study: Json) -> Iterator[tuple[str, Json]]:
    """Every job of `study` under the name of its row: each patch with each seed."""
    for seed in study["seeds"]:
        for name, patch in study["jobs"].items():
            yield (
                name,
                {**_patched(study["base"], patch), "seed": seed, "name": f"{name}, seed {seed}", "metadata": {"study": study["name"]}},
            )


def table(found: dict[str, list[Json]]) -> str:
    """The results of each row as Markdown: test accuracy as mean ± sample standard deviation over the seeds."""
    lines = ["| job | seeds | test accuracy | lowest | exact zeros | removed filters | training seconds |", "|---|---|---|---|---|---|---|"]
    for name, results in found.items():
        accuracy = [result["metrics"]["test.accuracy"] for result in results]
        spread = f" ± {statistics.stdev(accuracy):.4f}" if len(accuracy) > 1 else ""
        zeros = statistics.mean(_share_of_zeros(result) for result in results)
        seconds = statistics.mean(result["timings"]["train"] for result in results)
        lines.append(
            f"| {name} | {len(results)} | {statistics.mean(accuracy):.4f}{spread} | {min(accuracy):.4f} | {zeros:.1%} | "
            f"{_removed(results)} | {seconds:.0f} |"
        )
    return "\n".join(lines)


def run(
    name: Annotated[str, typer.Argument(help="A file of the folder studies, without its ending.")],
    data_dir: Annotated[Path, typer.Option(help="Where the study's jobs are kept.")] = _HOME,
    workers: Annotated[int, typer.Option(min=1, help="Jobs trained at once; they share the cores.")] = 1,
    only: Annotated[list[str] | None, typer.Option(help="Only these of its jobs.")] = None,
) -> None:
    """Train every job of a study on a stack of its own and print the table of what came of them."""
    study = _read(name)
    study["jobs"] = {job: patch for job, patch in study["jobs"].items() if not only or job in only}
    os.environ.setdefault("RIDGELINE_TRAINER_THREADS", str(max((os.cpu_count() or 1) // workers, 1)))
    try:
        stack = Stack(data_dir / name, port=0, workers=workers)
        with ended_by_signals(stack), stack:
            from client import credentials
            from client.sdk import Client

            with Client(stack.url, api_key=credentials.of_own_stack()) as client:
                print(f"\n{study['title']}\n\n{table(_train(client, study))}")
    except ClientError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


def _train(client: "Client", study: Json) -> dict[str, list[Json]]:
    """The results of every job, by row, each told as it comes."""
    submitted = [(name, client.submit(spec, key=_key(study, spec))["id"]) for name, spec in specs(study)]
    found: dict[str, list[Json]] = {}
    for name, job_id in submitted:
        job = client.wait(job_id)
        if job["status"] != "succeeded":
            raise StackError(f"{job['name']} ({job_id}) {job['status']}: {(job.get('error') or {}).get('message', '')}")
        result = client.result(job_id)
        found.setdefault(name, []).append(result)
        rows, device = result["data"]["train_rows"], result["machine"]
        typer.echo(
            f"{job['name']}: test accuracy {result['metrics']['test.accuracy']:.4f}, zeros {_share_of_zeros(result):.1%}, {rows:,} training "
            f"rows from {result['data']['source']}, {result['samples_per_second']:,.0f} samples/s on {device['device']} {device['precision']}",
            err=True,
        )
    return {name: found[name] for name in study["jobs"]}


def _read(name: str) -> Json:
    path = FOLDER / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.json")))
        raise typer.BadParameter(f"there is no study '{name}'; there are {known}", param_hint="NAME")
    return {"name": name, **json.loads(path.read_text())}


def _patched(value: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    kept = value if isinstance(value, dict) else {}
    merged = {**kept, **{key: _patched(kept.get(key), inner) for key, inner in patch.items()}}
    return {key: inner for key, inner in merged.items() if inner is not None}


def _key(study: Json, spec: Json) -> str:
    return f"study-{study['name']}-{hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:32]}"


def _share_of_zeros(result: Json) -> float:
    zeros, size = (sum(layer[field] for layer in result["layers"]) for field in ("zeros", "size"))
    return float(zeros / size)


def _removed(results: list[Json]) -> str:
    """For each layer that lost some: its mean number of dead filters or neurons, of how many."""
    layers = zip(*(result["layers"] for result in results), strict=True)
    lost = [(same[0], statistics.mean(layer["dead_filters"] for layer in same)) for same in layers]
    return ", ".join(f"{layer['name']} {dead:.1f} of {layer['filters']}" for layer, dead in lost if dead) or "none"


if __name__ == "__main__":
    typer.run(run)

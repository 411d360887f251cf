"""What is told of a run: the metrics of an epoch, and the result at the end."""

import platform
from importlib import metadata

import torch
from torch import Tensor

from contract import events
from worker.training import penalties
from worker.training.run import Run, Totals

_NEAR_ZERO = 1e-3


def started(run: Run) -> events.Started:
    """What is known before the first step."""
    return events.Started(
        data=run.data.lineage,
        machine=run.machine,
        parameters=sum(parameter.numel() for parameter in run.model.parameters()),
        steps=run.steps,
        step=run.step,
        epoch=run.standing.epoch,
    )


def means(prefix: str, totals: Totals, rows: int, *, has_classes: bool) -> events.Metrics:
    """`<prefix>.loss` and, for classes, `<prefix>.accuracy` from sums over `rows`."""
    found = {f"{prefix}.loss": float(totals.loss) / rows}
    if has_classes:
        found[f"{prefix}.accuracy"] = int(totals.correct) / rows
    return found


def epoch(run: Run, rows_per_second: float) -> events.Metrics:
    """The training half of an epoch's metrics; penalties and zeros are those of the weights at its end."""
    last = run.step - 1
    trained = means("train", run.totals, run.epoch_rows, has_classes=run.has_classes)
    terms = penalties.values(run.terms, last)
    return {
        **trained,
        **terms,
        "train.objective": trained["train.loss"] + sum(terms.values()),
        "lr": run.lr(last),
        "weights.zeros": _share_of_zeros(run),
        "samples_per_second": rows_per_second,
    }


def result(run: Run, test: events.Metrics, confusion: Tensor | None) -> events.Result:
    """What the finished run found."""
    standing = run.standing
    return events.Result(
        stop_reason=standing.stop_reason(run.spec),
        epochs=standing.epoch,
        steps=run.step,
        metrics=standing.metrics | test,
        best_epoch=standing.best_epoch,
        best_metrics=standing.best_metrics,
        confusion=None if confusion is None else tuple(tuple(row) for row in confusion.tolist()),
        layers=tuple(_layer(name, weight) for name, weight in _weights(run)),
        parameters=sum(parameter.numel() for parameter in run.model.parameters()),
        data=run.data.lineage,
        machine=run.machine,
        versions=versions(),
        timings=dict(run.watch.seconds),
        samples_per_second=run.watch.rows / run.watch.seconds["train"] if run.watch.rows else 0.0,
        resumed_at_steps=standing.resumed_at_steps,
    )


def versions() -> dict[str, str]:
    """Of Ridgeline, Python, torch, torchvision and numpy, as installed."""
    installed = {name: _version(name) for name in ("ridgeline", "torch", "torchvision", "numpy")}
    return {"python": platform.python_version(), **installed}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _weights(run: Run) -> list[tuple[str, Tensor]]:
    named = dict(run.model.named_parameters())
    return [(layer.name, named[f"{layer.name}.weight"].detach()) for layer in run.network if not layer.norm]


def _share_of_zeros(run: Run) -> float:
    weights = [weight for _, weight in _weights(run)]
    zeros = sum(weight.numel() - int(weight.count_nonzero()) for weight in weights)
    return zeros / sum(weight.numel() for weight in weights)


def _layer(name: str, weight: Tensor) -> events.LayerWeights:
    return events.LayerWeights(
        name=name,
        size=weight.numel(),
        zeros=weight.numel() - int(weight.count_nonzero()),
        near_zero=int((weight.abs() < _NEAR_ZERO).sum()),
        l1=float(torch.linalg.vector_norm(weight, 1, dtype=torch.float64)),
        l2=float(torch.linalg.vector_norm(weight, 2, dtype=torch.float64)),
    )

"""Whether a well-formed spec can run: what no single field can know."""

from collections.abc import Iterator

from contract.spec import JobSpec, datasets, losses, optimizers, penalties, plan
from contract.spec.datasets import Fake, Shape
from contract.spec.faults import Fault

MAX_PARAMETERS = 50_000_000
MAX_FAKE_VALUES = 200_000_000


def faults(spec: JobSpec) -> list[Fault]:
    """Every reason why `spec` cannot run, each with its pointer; empty when it can."""
    data = spec.dataset.shape()
    return [*_data(spec), *_network(spec, data), *_loss(spec, data), *_stepping(spec), *_monitors(spec, data)]


def _data(spec: JobSpec) -> Iterator[Fault]:
    data = spec.dataset
    if isinstance(data, Fake):
        rows = data.train_rows + data.test_rows + data.outputs  # a pattern for each class, or a map for each real target
        values = rows * data.shape().features + (rows * data.outputs if data.targets == "real" else 0)
        if values > MAX_FAKE_VALUES:
            yield Fault(
                ("dataset",), "too_large", f"{values:,} values of fake data; {MAX_FAKE_VALUES:,} at most: take fewer rows or smaller images"
            )
        held_out = datasets.held_out(data.train_rows, data.validation_fraction)
        if held_out >= data.train_rows:
            yield Fault(
                ("dataset", "validation_fraction"),
                "no_training_rows",
                f"holding out {held_out} of {data.train_rows} rows leaves none to train on; take a smaller fraction",
            )


def _network(spec: JobSpec, data: Shape) -> Iterator[Fault]:
    try:
        network = plan.layers(spec.model, data)
    except plan.MisfitError as misfit:
        yield Fault(("model", *misfit.field), "shape_misfit", str(misfit))
        return
    if (count := plan.parameters(network)) > MAX_PARAMETERS:
        yield Fault(("model",), "too_large", f"{count:,} parameters; {MAX_PARAMETERS:,} at most: take narrower or fewer layers")
    names = [layer.name for layer in network]
    for index, penalty in enumerate(spec.penalties):
        if isinstance(penalty.on, tuple):
            for position, name in enumerate(penalty.on):
                if name not in names:
                    yield Fault(
                        ("penalties", index, "on", position),
                        "unknown_layer",
                        f"this {spec.model.kind} has no layer '{name}'; it has {', '.join(names)}",
                    )


def _loss(spec: JobSpec, data: Shape) -> Iterator[Fault]:
    if isinstance(spec.loss, losses.CrossEntropy) and data.targets == "real":
        yield Fault(("loss", "kind"), "loss_misfit", "cross_entropy needs class targets and this data set has real ones; use half_mse")
    if isinstance(spec.loss, losses.CrossEntropy) and data.targets == "classes" and data.outputs < 2:
        yield Fault(("dataset", "outputs"), "loss_misfit", "cross_entropy over one class is 0 whatever the weights; give 2 classes or more")


def _stepping(spec: JobSpec) -> Iterator[Fault]:
    if isinstance(spec.optimizer, optimizers.GD) and spec.batch_size != "full":
        yield Fault(
            ("batch_size",),
            "not_full_batch",
            f"gd steps on the whole training set and cannot take batch_size {spec.batch_size}; drop it, or use sgd",
        )
    if spec.schedule.warmup_epochs > spec.epochs:
        yield Fault(
            ("schedule", "warmup_epochs"),
            "beyond_epochs",
            f"the warm-up of {spec.schedule.warmup_epochs:g} epochs outlasts the job's {spec.epochs}; shorten it",
        )
    proximal = [i for i, p in enumerate(spec.penalties) if isinstance(p, penalties.L1) and p.apply == "proximal" and p.lambda_ > 0]
    if isinstance(spec.optimizer, optimizers.Adam | optimizers.AdamW) and spec.optimizer.amsgrad:
        for index in proximal:
            yield Fault(
                ("penalties", index, "apply"),
                "no_metric",
                "a proximal l1 under amsgrad is not offered; drop amsgrad or use apply 'subgradient'",
            )
    for first, second in ((a, b) for k, a in enumerate(proximal) for b in proximal[k + 1 :]):
        if _overlap(spec.penalties[first].on, spec.penalties[second].on):
            yield Fault(
                ("penalties", second),
                "overlap",
                f"penalties {first} and {second} are both proximal l1 on the same weights; add their lambdas in one",
            )


def _overlap(one: str | tuple[str, ...], other: str | tuple[str, ...]) -> bool:
    return not (isinstance(one, tuple) and isinstance(other, tuple)) or bool(set(one) & set(other))


def _monitors(spec: JobSpec, data: Shape) -> Iterator[Fault]:
    watched = [(("checkpoints", "monitor"), spec.checkpoints.monitor)]
    if spec.early_stopping:
        watched.append((("early_stopping", "monitor"), spec.early_stopping.monitor))
    for pointer, metric in watched:
        if metric.startswith("val.") and spec.dataset.validation_fraction == 0:
            yield Fault(
                pointer, "metric_missing", f"{metric} never exists with validation_fraction 0; monitor train.loss or hold out some rows"
            )
        if metric.endswith("accuracy") and data.targets == "real":
            yield Fault(pointer, "metric_missing", f"{metric} does not exist for real targets; monitor a loss")

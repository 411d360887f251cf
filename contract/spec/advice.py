"""What is possible and seldom meant: the warnings that come with a spec which has no faults."""

from collections.abc import Iterator

from contract.spec import JobSpec, datasets, models, optimizers, penalties
from contract.spec.faults import Fault

_HUGE = 1.0
"""A λ above this outweighs a mean loss on any network that is worth training."""
_LARGE_LR = {"adam": 0.05, "adamw": 0.05, "nadam": 0.05, "radam": 0.05, "adamax": 0.05, "lion": 0.01}
"""Above these, steps whose length does not depend on the gradient's leave every valley."""


def warnings(spec: JobSpec) -> list[Fault]:
    """Each with the pointer to what it is about, and what to do instead."""
    return [*_penalties(spec), *_optimizer(spec), *_checkpoints(spec), *_epochs(spec)]


def _penalties(spec: JobSpec) -> Iterator[Fault]:
    for index, penalty in enumerate(spec.penalties):
        if not penalty.is_active:
            yield Fault(("penalties", index, "lambda"), "no_effect", "λ is 0: this penalty does nothing; drop it, or give it a strength")
        elif penalty.strength > _HUGE:
            told = (
                f"λ is {penalty.strength:g}: the penalty will outweigh the data loss and hold the weights near zero; 1e-5 to 1e-2 is usual"
            )
            yield Fault(("penalties", index, "lambda"), "huge_lambda", told)
        if isinstance(penalty, penalties.L2) and _is_adaptive(spec.optimizer):
            told = (
                f"under {spec.optimizer.kind} the gradient of l2 is divided by the running size of each weight's gradient, so it shrinks weights "
                "unequally; decoupled_decay shrinks them alike, as AdamW does"
            )
            yield Fault(("penalties", index, "kind"), "adaptive_l2", told)
        if penalty.is_proximal and penalty.strength > 0 and _is_adaptive(spec.optimizer) and not getattr(penalty, "warmup_epochs", 1.0):
            told = "the first proximal steps of an adaptive optimizer are huge; warmup_epochs 1 lets λ rise while the metric settles"
            yield Fault(("penalties", index, "warmup_epochs"), "cold_start", told)


def _is_adaptive(optimizer: optimizers.Optimizer) -> bool:
    adaptive = (
        optimizers.Adam,
        optimizers.NAdam,
        optimizers.RAdam,
        optimizers.RMSprop,
        optimizers.Adagrad,
        optimizers.Adadelta,
        optimizers.Adamax,
    )
    return isinstance(optimizer, adaptive)


def _optimizer(spec: JobSpec) -> Iterator[Fault]:
    largest = _LARGE_LR.get(spec.optimizer.kind)
    lr = getattr(spec.optimizer, "lr", None)
    if largest is not None and lr is not None and lr > largest:
        told = f"lr {lr:g} is large for {spec.optimizer.kind}, whose steps are about as long as lr; 1e-4 to 1e-2 is usual"
        yield Fault(("optimizer", "lr"), "large_lr", told)


def _checkpoints(spec: JobSpec) -> Iterator[Fault]:
    if spec.dataset.validation_fraction == 0:
        told = "no rows are held out, so the best checkpoint is the one that fits the training rows best; validation_fraction 0.1 is usual"
        yield Fault(("checkpoints", "monitor"), "no_validation", told)
    if spec.checkpoints.every_epochs > spec.most_epochs:
        told = (
            f"a checkpoint is due every {spec.checkpoints.every_epochs} epochs and there are {spec.most_epochs}: only the last is written"
        )
        yield Fault(("checkpoints", "every_epochs"), "beyond_epochs", told)


def _epochs(spec: JobSpec) -> Iterator[Fault]:
    if spec.early_stopping and spec.early_stopping.patience >= spec.epochs:
        told = f"early stopping waits for {spec.early_stopping.patience} epochs and the job has {spec.epochs}: it can never stop it"
        yield Fault(("early_stopping", "patience"), "beyond_epochs", told)
    if isinstance(spec.dataset, datasets.Fake) and isinstance(spec.batch_size, int) and spec.batch_size > spec.dataset.train_rows:
        told = f"batch_size {spec.batch_size} is above the {spec.dataset.train_rows} training rows: each epoch is a single step"
        yield Fault(("batch_size",), "one_step", told)
    if isinstance(spec.model, models.Linear | models.MLP) and spec.dataset.augment is not None and spec.dataset.augment.crop:
        yield Fault(
            ("dataset", "augment", "crop"),
            "no_convolution",
            f"{spec.model.kind} sees pixels by their place: shifted images are new ones to it",
        )

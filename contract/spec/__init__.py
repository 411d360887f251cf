"""Everything a user can ask for: the job spec and the families it is made of.

Each family is a closed union told apart by `kind`; adding a kind is a class in its union here and a `case` in the training
room's file of the same name. Only pydantic is needed to read or to check a spec.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from contract.spec import datasets, finish, limits, losses, models, optimizers, penalties, schedules
from contract.spec.base import Count, Seed, Spec, Text
from contract.spec.datasets import Dataset
from contract.spec.finish import EMA, Polish, Tolerance
from contract.spec.limits import Checkpoints, EarlyStopping, Limits
from contract.spec.losses import Loss
from contract.spec.models import Model
from contract.spec.optimizers import Optimizer
from contract.spec.penalties import Penalty
from contract.spec.schedules import Schedule

MetadataKey = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.\-/]+$")]
CheckpointId = Annotated[str, Field(pattern=r"^ckpt_[0-9a-z]{26}$", examples=["ckpt_01kaj3v2m4n5p6q7r8s9t0v1w2"])]
Precision = Literal["auto", "float32", "bfloat16", "float64"]
Device = Literal["auto", "cpu", "cuda"]


def _batch_size(fields: dict[str, Any]) -> int | Literal["full"]:
    return "full" if getattr(fields.get("optimizer"), "full_batch", False) else 64


def _checkpoints(fields: dict[str, Any]) -> Checkpoints:
    held_out = getattr(fields.get("dataset"), "validation_fraction", 0.1) > 0
    return Checkpoints(monitor="val.loss" if held_out else "train.loss")


def _holds_out_nothing(given: dict[str, Any]) -> bool:
    dataset = given.get("dataset")
    return isinstance(dataset, dict) and dataset.get("validation_fraction") == 0


def _names_keys(schema: dict[str, Any]) -> None:
    """Say the pattern of the keys where generators look for it; as pydantic says it, a key of another form may have any value."""
    ((pattern, values),) = schema.pop("patternProperties").items()
    schema |= {"additionalProperties": values, "propertyNames": {**schema["propertyNames"], "pattern": pattern}}


class JobSpec(Spec):
    """A training job. `{"optimizer": {"kind": "adam"}, "penalties": [{"kind": "l2", "lambda": 5e-4}], "epochs": 10}` is a whole one."""

    name: Text | None = None
    """A name of your own; need not be unique."""
    metadata: Annotated[dict[MetadataKey, Text], Field(max_length=16, json_schema_extra=_names_keys)] = {}
    """Labels of your own, to find the job by."""
    dataset: Dataset = datasets.Builtin()
    """What it is trained on, with the flaws and the augmentation put into it."""
    model: Model = models.TutorialCNN()
    """The network."""
    loss: Loss = losses.CrossEntropy()
    """What is minimised on the data, a mean over the rows of a step."""
    optimizer: Optimizer = optimizers.Adam()
    """How a step is made of a gradient."""
    schedule: Schedule = schedules.Constant()
    """How lr moves over the steps."""
    penalties: Annotated[tuple[Penalty, ...], Field(max_length=16, strict=False)] = ()
    """Added once a step to the mean data loss; each is reported apart. `train.objective` is the epoch's mean data loss plus the
    penalties of the weights at its end."""
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Passes over the training rows."""
    batch_size: Annotated[Count | Literal["full"], Field(default_factory=_batch_size, union_mode="left_to_right")]
    """Rows a step, 64 unless the optimizer needs them all (`gd`, `lbfgs`); `full` takes the gradient over the whole training set, accumulated."""
    seed: Seed = 0
    """Decides the split, flaws put into the data, the initial weights, the order and augmentation of the rows, and dropout: the same
    seed gives the same run."""
    precision: Precision = "auto"
    """`auto` takes bfloat16 autocast where the device gains from it, else float32. Weights are kept in float32 or float64."""
    deterministic: bool = False
    """Refuse algorithms whose result varies from run to run, on a GPU at the price of speed."""
    early_stopping: EarlyStopping | None = None
    """Stops the training when a metric no longer improves."""
    tolerance: Tolerance | None = None
    """Stops the training where the penalised objective is stationary."""
    averaging: EMA | None = None
    """Gives away a moving average of the weights in place of the weights themselves."""
    polish: Polish | None = None
    """Refits a sparse network on its support, after the epochs above or after what stopped them."""
    checkpoints: Annotated[Checkpoints, Field(default_factory=_checkpoints)]
    """When a checkpoint is written, and which are kept."""
    limits: Limits = Limits()
    """Times after which the job is given up."""
    init_from: CheckpointId | None = None
    """A checkpoint of any job of yours whose weights the training starts from, in place of weights drawn by the seed: of a network with
    the same layers. Weights only: the optimizer, the schedule and the count of epochs begin anew."""
    device: Device = "auto"
    """`auto` takes whichever device a free worker has."""
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    """A queued job of higher priority starts first."""

    @property
    def most_epochs(self) -> int:
        """Those of training and of polish, if nothing stops the job early."""
        return self.epochs + (self.polish.epochs if self.polish else 0)

    @model_validator(mode="before")
    @classmethod
    def _monitor_what_exists(cls, given: Any) -> Any:
        """Without validation rows what is monitored by default is the training loss, also where other fields beside it are given."""
        if not isinstance(given, dict) or not _holds_out_nothing(given):
            return given
        told = {name: given[name] for name in ("checkpoints", "early_stopping") if isinstance(given.get(name), dict)}
        if isinstance(schedule := given.get("schedule"), dict) and schedule.get("kind") == "plateau":
            told["schedule"] = schedule
        return given | {name: {"monitor": "train.loss", **fields} for name, fields in told.items()}


__all__ = ["Device", "JobSpec", "Precision", "datasets", "finish", "limits", "losses", "models", "optimizers", "penalties", "schedules"]

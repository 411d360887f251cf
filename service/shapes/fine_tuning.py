"""A training job in the shapes of OpenAI's fine-tuning API, for programs that were written for that one."""

from typing import Any, Literal

from service.shapes.base import Number, View


class FineTuningError(View):
    """Why a job failed."""

    code: str
    """Machine-readable."""
    message: str
    """What happened, and what to do."""
    param: str | None = None
    """Always null here."""


class Hyperparameters(View):
    """What of a spec has a name there."""

    batch_size: int | Literal["auto"]
    """Rows a step; `auto` where the gradient is taken over all of them."""
    learning_rate_multiplier: float | Literal["auto"]
    """The optimizer's lr."""
    n_epochs: int
    """Passes over the training rows."""


class FineTuningMethod(View):
    """How a job is trained."""

    type: Literal["supervised"] = "supervised"


class FineTuningJob(View):
    """A training job, as a fine-tuning job. Times are whole seconds since 1970."""

    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    id: str
    """The same as in /v1/jobs."""
    created_at: int
    """When it was submitted."""
    finished_at: int | None
    """When it reached its final status."""
    estimated_finish: int | None
    """When it will, for a job that runs."""
    status: Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
    """A job that is `pausing` is told as `paused`, one that is `cancelling` as `running`."""
    model: str
    """The kind of its network."""
    fine_tuned_model: str | None
    """Id of its best checkpoint; null until it has succeeded."""
    training_file: str
    """The name of its data set."""
    validation_file: str | None = None
    """Always null: validation rows are held out from the data set."""
    result_files: list[str]
    """Path of its result, once it has one."""
    hyperparameters: Hyperparameters
    """What of its spec has a name there."""
    method: FineTuningMethod
    """How it is trained."""
    seed: int
    """As in its spec."""
    organization_id: str
    """Whose job it is."""
    trained_tokens: int | None = None
    """Always null: there are no tokens."""
    integrations: list[Any] = []
    """Always empty."""
    metadata: dict[str, str]
    """As submitted."""
    error: FineTuningError | None
    """Of a failed job."""


class FineTuningEvent(View):
    """One line of a job's history."""

    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    id: str
    """Job and `seq` of the event."""
    created_at: int
    """When it happened, in seconds since 1970."""
    level: Literal["info", "warn", "error"]
    """How grave it is."""
    message: str
    """One line for people."""
    type: Literal["message", "metrics"]
    """`metrics` for the end of an epoch."""
    data: dict[str, Any]
    """The same for programs."""


class FineTuningMetrics(View):
    """The numbers of a checkpoint that have a name there."""

    step: int
    """Optimizer steps done."""
    train_loss: Number | None
    """`train.loss`."""
    valid_loss: Number | None
    """`val.loss`."""
    full_valid_loss: Number | None
    """The same: all validation rows are looked at each time."""


class FineTuningCheckpoint(View):
    """A checkpoint that is kept."""

    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    id: str
    """The same as in /v1/jobs/{job_id}/checkpoints, where its files are."""
    created_at: int
    """When it was written, in seconds since 1970."""
    fine_tuned_model_checkpoint: str
    """Path of the checkpoint."""
    fine_tuning_job_id: str
    """The job that wrote it."""
    step_number: int
    """Optimizer steps done."""
    metrics: FineTuningMetrics
    """Its numbers."""


class FineTuningJobList(View):
    """A page of jobs, newest first. The next begins `after` the last id of this one."""

    object: Literal["list"] = "list"
    data: list[FineTuningJob]
    """What is on this page."""
    has_more: bool
    """Whether another page follows."""


class FineTuningEventList(View):
    """A page of events, newest first. The next begins `after` the last id of this one."""

    object: Literal["list"] = "list"
    data: list[FineTuningEvent]
    """What is on this page."""
    has_more: bool
    """Whether another page follows."""


class FineTuningCheckpointList(View):
    """A page of checkpoints, newest first. The next begins `after` the last id of this one."""

    object: Literal["list"] = "list"
    data: list[FineTuningCheckpoint]
    """What is on this page."""
    first_id: str | None
    """Of the first on this page."""
    last_id: str | None
    """Of the last on this page."""
    has_more: bool
    """Whether another page follows."""

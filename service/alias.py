"""How a training job is told in the words of OpenAI's fine-tuning API."""

from typing import Final, Literal, cast

from contract.job import Job, JobState, Json
from contract.store import checkpoints, rows
from service import shapes, views

Status = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
Level = Literal["info", "warn", "error"]

STATUS: Final[dict[JobState, Status]] = {
    JobState.QUEUED: "queued",
    JobState.RUNNING: "running",
    JobState.PAUSING: "paused",
    JobState.PAUSED: "paused",
    JobState.CANCELLING: "running",
    JobState.SUCCEEDED: "succeeded",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
}
"""Words that are known there. A job on its way to the end is still at work; one on its way to rest will not go on by itself."""


def job(row: Job) -> shapes.FineTuningJob:
    """A job as OpenAI's clients read one; what those shapes have no field for is told under /v1/jobs alone."""
    spec = row.spec
    remaining = views.progress(row).seconds_remaining
    has_succeeded = row.state is JobState.SUCCEEDED
    return shapes.FineTuningJob(
        id=row.id,
        created_at=int(row.created_at),
        finished_at=None if row.finished_at is None else int(row.finished_at),
        estimated_finish=None if remaining is None else int(row.updated_at + remaining),
        status=STATUS[row.state],
        model=str(spec["model"]["kind"]),
        fine_tuned_model=(row.best_checkpoint_id or row.checkpoint_id) if has_succeeded else None,
        training_file=str(spec["dataset"].get("name") or spec["dataset"].get("id") or spec["dataset"]["kind"]),
        result_files=[f"/v1/jobs/{row.id}/result"] if has_succeeded else [],
        hyperparameters=shapes.Hyperparameters(
            batch_size="auto" if spec["batch_size"] == "full" else spec["batch_size"],
            learning_rate_multiplier=_learning_rate(spec["optimizer"]),
            n_epochs=spec["epochs"],
        ),
        method=shapes.FineTuningMethod(),
        seed=spec["seed"],
        organization_id=row.tenant,
        metadata=row.metadata,
        error=_error(row),
    )


def event(row: rows.Event) -> shapes.FineTuningEvent:
    """An event as OpenAI's clients read one. Times are whole seconds there."""
    return shapes.FineTuningEvent(
        id=f"{row.job_id}-{row.seq}",
        created_at=int(row.at),
        level="warn" if row.level == "warning" else cast("Level", row.level),
        message=row.message,
        type="metrics" if row.type == "epoch" else "message",
        data=row.data,
    )


def checkpoint(row: checkpoints.Checkpoint) -> shapes.FineTuningCheckpoint:
    """A checkpoint as OpenAI's clients read one; its model is the path of ours."""
    return shapes.FineTuningCheckpoint(
        id=row.id,
        created_at=int(row.created_at),
        fine_tuned_model_checkpoint=f"/v1/jobs/{row.job_id}/checkpoints/{row.id}",
        fine_tuning_job_id=row.job_id,
        step_number=row.step,
        metrics=shapes.FineTuningMetrics(
            step=row.step,
            train_loss=row.metrics.get("train.loss"),
            valid_loss=row.metrics.get("val.loss"),
            full_valid_loss=row.metrics.get("val.loss"),
        ),
    )


def _learning_rate(optimizer: Json) -> float | Literal["auto"]:
    """The optimizer's own, or that of the one which it wraps."""
    inner = optimizer.get("base")
    rate = optimizer.get("lr", inner.get("lr") if isinstance(inner, dict) else None)
    return float(rate) if isinstance(rate, int | float) else "auto"


def _error(row: Job) -> shapes.FineTuningError | None:
    if not row.error:
        return None
    return shapes.FineTuningError(code=row.error["code"], message=f"{row.error['message']}; {row.error['hint']}")

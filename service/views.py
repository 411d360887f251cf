"""How a reply is made from the rows of the store."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from contract.job import Job, JobState, Json
from contract.spec import JobSpec, advice, plan, size
from contract.store import audit, checkpoints, deliveries, keys, lines, metrics, rows, webhooks, workers
from contract.webhooks import DeliveryState
from service import shapes


def time(seconds: float) -> str:
    """Seconds since 1970 as RFC 3339 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def job(row: Job, place: shapes.QueuePlace | None, moves: Sequence[rows.Event]) -> shapes.Job:
    """What a client sees of a job. `moves` are its status events."""
    here = f"/v1/jobs/{row.id}"
    return shapes.Job(
        id=row.id,
        name=row.name,
        metadata=row.metadata,
        status=row.state,
        status_reason=row.status_reason,
        created_at=time(row.created_at),
        started_at=_time(row.started_at),
        finished_at=_time(row.finished_at),
        updated_at=time(row.updated_at),
        spec=row.spec,
        progress=progress(row),
        queue=place,
        attempt=row.attempt,
        latest_metrics=row.latest_metrics,
        best=shapes.Best(**row.best) if row.best else None,
        status_transitions=[_transition(move) for move in moves],
        error=shapes.Failure(**row.error) if row.error else None,
        parent=_parent(row),
        dataset=shapes.TrainingData(**row.data) if row.data else None,
        machine=shapes.Machine(**row.machine) if row.machine else None,
        links=shapes.JobLinks(
            self=here,
            events=f"{here}/events",
            metrics=f"{here}/metrics",
            result=f"{here}/result",
            checkpoints=f"{here}/checkpoints",
            cancel=f"{here}/cancel",
            pause=f"{here}/pause",
            resume=f"{here}/resume",
            retry=f"{here}/retry",
            extend=f"{here}/extend",
            clone=f"{here}/clone",
        ),
    )


def progress(row: Job) -> shapes.Progress:
    """How far the job has come. One that has succeeded is at its end, also where it stopped early."""
    done = 1.0 if row.state is JobState.SUCCEEDED else min(1.0, row.step / row.steps) if row.steps else 0.0
    return shapes.Progress(
        epoch=row.epoch, epochs=row.epochs, step=row.step, steps=row.steps, fraction=done, seconds_remaining=_seconds_remaining(row, done)
    )


def event(row: rows.Event) -> shapes.Event:
    """A line of a job's history, its data as they were written."""
    return shapes.Event(seq=row.seq, type=row.type, at=time(row.at), level=row.level, message=row.message, data=row.data)


def log_line(row: rows.Event) -> shapes.LogLine:
    """An event as a line of a log: its reason within the message, and the lines that it brought along."""
    attached: list[str] = next((row.data[name] for name in lines.ATTACHED if name in row.data), [])
    source = "job" if row.type == "status" else "trainer"
    return shapes.LogLine(seq=row.seq, at=time(row.at), level=row.level, source=source, message=_told(row), lines=attached)


def live(row: Job) -> shapes.Live:
    """The numbers of the moment, which a stream tells between two events and nobody keeps."""
    return shapes.Live(status=row.state, progress=progress(row), latest_metrics=row.latest_metrics)


def point(row: metrics.Point, values: Json) -> shapes.MetricPoint:
    """A point with those of its values that were asked for."""
    return shapes.MetricPoint(step=row.step, scope=row.scope, epoch=row.epoch, at=time(row.at), values=values)


def checkpoint(row: checkpoints.Checkpoint, of: Job) -> shapes.Checkpoint:
    """A checkpoint with its files, and what `of`, the job that was asked for it, calls it."""
    # Below the job that was asked: the one that wrote it may be deleted, while this one goes on from it.
    here = f"/v1/jobs/{of.id}/checkpoints/{row.id}/files"
    names = {"best": of.best_checkpoint_id or of.checkpoint_id, "last": of.checkpoint_id}
    return shapes.Checkpoint(
        id=row.id,
        job_id=row.job_id,
        epoch=row.epoch,
        step=row.step,
        metrics=row.metrics,
        aliases=[name for name, checkpoint_id in names.items() if checkpoint_id == row.id],
        pinned=row.pinned,
        size_bytes=row.size_bytes,
        files=[shapes.CheckpointFile(**file.model_dump(), href=f"{here}/{file.name}") for file in row.files],
        created_at=time(row.created_at),
    )


def result(row: Job, body: Json) -> Json:
    """The stored result under its job's id: as it was committed, whichever version wrote it."""
    return {"object": "training.result", "job_id": row.id, **body}


def validation(spec: JobSpec, seconds_per_epoch: float | None) -> shapes.Validation:
    """What `spec` would train, and what that takes where an epoch of such jobs takes so long."""
    layers = plan.layers(spec.model, spec.dataset.shape())
    taken = size.memory(spec, layers)
    return shapes.Validation(
        spec=spec.model_dump(mode="json"),
        parameters=plan.parameters(layers),
        layers=[shapes.Layer(name=layer.name, weight=layer.weight, bias=layer.bias, parameters=layer.parameters) for layer in layers],
        warnings=[shapes.Warned(pointer=told.pointer, code=told.code, message=told.message) for told in advice.warnings(spec)],
        memory=shapes.Memory(
            weights_bytes=taken.weights,
            gradients_bytes=taken.gradients,
            optimizer_bytes=taken.optimizer,
            activations_bytes=taken.activations,
            total_bytes=taken.total,
        ),
        duration=_duration(spec, seconds_per_epoch),
    )


def worker(row: workers.Worker) -> shapes.Worker:
    """A worker by its last sign of life. Whose job it has in hand is for the caller to hide."""
    return shapes.Worker(
        id=row.id,
        host=row.host,
        pid=row.pid,
        state=row.state,
        is_fresh=row.is_fresh,
        device=row.device,
        job_id=row.job_id,
        versions=row.versions,
        started_at=time(row.started_at),
        last_seen=time(row.last_seen),
    )


def _duration(spec: JobSpec, seconds_per_epoch: float | None) -> shapes.Duration:
    if seconds_per_epoch is None:
        reason = f"no job with a {spec.model.kind} on {spec.dataset.name} has succeeded here lately"
        return shapes.Duration(seconds=None, seconds_per_epoch=None, reason=reason)
    seconds = round(seconds_per_epoch * spec.most_epochs, 1)
    return shapes.Duration(seconds=seconds, seconds_per_epoch=round(seconds_per_epoch, 3), reason=None)


def api_key(key: keys.Key, now: float) -> shapes.ApiKey:
    """A key without its secret, which nobody knows any more; active or not at `now`, in seconds since 1970."""
    return shapes.ApiKey(
        id=key.id,
        tenant=key.tenant,
        name=key.name,
        scopes=list(key.scopes),
        is_active=key.is_active(now),
        created_at=time(key.created_at),
        expires_at=_time(key.expires_at),
        revoked_at=_time(key.revoked_at),
        last_used_at=_time(key.last_used_at),
    )


def audit_event(event: audit.Recorded) -> shapes.AuditEvent:
    """Who asked for what, and how it was answered."""
    return shapes.AuditEvent(id=event.id, at=time(event.at), **asdict(event.deed))


def webhook(row: webhooks.Webhook) -> shapes.Webhook:
    """A webhook without its secret."""
    return shapes.Webhook(
        id=row.id,
        url=row.url,
        events=list(row.events),
        description=row.description,
        enabled=row.enabled,
        disabled_reason=row.disabled_reason,
        previous_secret_expires_at=_time(row.previous_secret_until),
        created_at=time(row.created_at),
        updated_at=time(row.updated_at),
    )


def delivery(row: deliveries.Delivery) -> shapes.Delivery:
    """What became of a message so far. When it is tried again is told only while it will be."""
    return shapes.Delivery(
        id=row.id,
        webhook_id=row.webhook_id,
        job_id=row.job_id,
        type=row.type,
        status=row.state,
        attempts=row.attempts,
        next_attempt_at=_time(row.next_attempt_at if row.state is DeliveryState.PENDING else None),
        created_at=time(row.created_at),
        last_attempt_at=_time(row.last_attempt_at),
        delivered_at=_time(row.delivered_at),
        status_code=row.status_code,
        error=row.error,
        duration_ms=row.duration_ms,
        reply=row.reply,
        payload=json.loads(row.body),
    )


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else time(seconds)


def _parent(row: Job) -> shapes.Parent | None:
    if row.parent_job_id is None:
        return None
    return shapes.Parent(job_id=row.parent_job_id, relation=row.parent_relation or "", checkpoint_id=row.start_checkpoint_id)


def _transition(move: rows.Event) -> shapes.Transition:
    data = move.data
    return shapes.Transition(from_=data["from"], to=data["to"], at=time(move.at), reason=data["reason"], actor=data["actor"])


def _told(row: rows.Event) -> str:
    """Of a move the reason too, and of a failure what happened: the message of the event is the state alone."""
    error = row.data.get("error")
    why = f"{error['code']}: {error['message']}" if error else row.data.get("reason") if row.type == "status" else None
    return f"{row.message}: {why}" if why else row.message


def _seconds_remaining(row: Job, done: float) -> float | None:
    """By the speed of training just now, which unlike the time since the start does not count waiting between attempts."""
    rate = row.latest_metrics.get("samples_per_second")
    if row.state is not JobState.RUNNING or not row.data or not isinstance(rate, int | float) or rate <= 0:
        return None
    return round((1 - done) * row.epochs * float(row.data["train_rows"]) / rate, 1)

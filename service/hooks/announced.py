"""How webhooks stand in the description of the API: bodies with examples, and each message that may be posted to you."""

from typing import Annotated, Any, Final

from fastapi import Body, FastAPI, Header

from contract.webhooks import OF_STATE, EventType
from service import shapes

Json = dict[str, Any]


def _body(model: str, *, required: bool, **examples: Json) -> Json:
    content = {
        "schema": {"$ref": f"#/components/schemas/{model}"},
        "examples": {name: {"value": value} for name, value in examples.items()},
    }
    return {"requestBody": {"required": required, "content": {"application/json": content}}}


NEW_BODY: Final = _body(
    "NewWebhook",
    required=True,
    everything={"url": "https://example.com/hooks/ridgeline"},
    ends={
        "url": "https://example.com/hooks/ridgeline",
        "events": ["job.succeeded", "job.failed"],
        "description": "chat of the vision team",
    },
)
CHANGE_BODY: Final = _body("WebhookChange", required=True, off={"enabled": False}, events={"events": ["job.failed"]})
ROTATION_BODY: Final = _body("Rotation", required=False, planned={"overlap_hours": 24}, leaked={"overlap_hours": 0})

_MOVED: Final[Json] = {
    "job_id": "job_01kaj3v2m4n5p6q7r8s9t0v1w2",
    "name": "fashion-l1",
    "metadata": {"team": "vision"},
    "status": "running",
    "previous_status": "queued",
    "status_reason": "first attempt",
    "actor": "worker",
    "sequence": 2,
    "attempt": 1,
    "created_at": "2026-11-22T07:15:00.123Z",
    "started_at": "2026-11-22T07:15:00.456Z",
    "finished_at": None,
    "progress": {"epoch": 0, "epochs": 10, "step": 0, "steps": None},
    "latest_metrics": {},
    "best": None,
    "error": None,
    "links": {"self": "/v1/jobs/job_01kaj3v2m4n5p6q7r8s9t0v1w2"},
}
_END: Final[Json] = {
    "previous_status": "running",
    "sequence": 14,
    "finished_at": "2026-11-22T07:19:12.345Z",
    "progress": {"epoch": 10, "epochs": 10, "step": 8440, "steps": 8440},
    "latest_metrics": {"train.loss": 0.21, "val.loss": 0.27},
}
_OF_TYPE: Final[dict[EventType, Json]] = {
    EventType.JOB_QUEUED: {
        "status": "queued", "previous_status": None, "status_reason": "submitted", "actor": "client", "sequence": 1, "attempt": 0,
        "started_at": None,
    },
    EventType.JOB_RUNNING: {},
    EventType.JOB_PAUSED: {"status": "paused", "previous_status": "pausing", "status_reason": "paused on request", "sequence": 9},
    EventType.JOB_SUCCEEDED: _END | {"status": "succeeded", "status_reason": "trained to the end"},
    EventType.JOB_FAILED: _END | {
        "status": "failed", "status_reason": "loss became nan at step 812",
        "error": {"code": "diverged", "message": "loss became nan at step 812", "hint": "try lr below 0.5", "retryable": False},
    },
    EventType.JOB_CANCELLED: _END | {"status": "cancelled", "previous_status": "cancelling", "status_reason": "cancelled on request"},
}  # fmt: skip


def example(kind: EventType) -> Json:
    """A message of this type, as it could be posted."""
    data = {"webhook_id": "wh_01kaj3v2m4n5p6q7r8s9t0v1w2"} if kind is EventType.TEST else _MOVED | _OF_TYPE[kind]
    return {"type": kind.value, "timestamp": "2026-11-22T07:19:12.345Z", "data": data}


def announce(app: FastAPI) -> None:
    """Have the app's description name every message that it may post."""
    for kind in OF_STATE.values():
        _add(app, kind, shapes.JobMessage, f"Posted when a job becomes {kind.value.removeprefix('job.')}.")
    _add(app, EventType.TEST, shapes.TestMessage, "Posted when somebody asks for a test.")


def exemplify(webhooks: Json) -> None:
    """Give each message of a description its example. Done at the end, as FastAPI drops every null from what it is given."""
    for kind in EventType:
        webhooks[kind.value]["post"]["requestBody"]["content"]["application/json"]["example"] = example(kind)


def _add(app: FastAPI, kind: EventType, model: type[shapes.JobMessage | shapes.TestMessage], told: str) -> None:
    def receive(message: Any, webhook_id: str, webhook_timestamp: str, webhook_signature: str) -> None: ...

    receive.__annotations__ = {
        "message": Annotated[model, Body()],
        "webhook_id": _header("The message's id: the same however often it is sent. Drop one that you have seen."),
        "webhook_timestamp": _header("When it was sent, in seconds since 1970. Refuse one that is more than five minutes off."),
        "webhook_signature": _header(
            "`v1,` and a base64 HMAC-SHA256 of `ID.TIMESTAMP.BODY`; two of them, with a space between, after a rotation."
        ),
        "return": None,
    }
    app.webhooks.post(
        kind.value,
        operation_id=f"receive_{kind.value.replace('.', '_')}",
        summary=told,
        description=f"{told} Answer with any 2xx within ten seconds; with 410 to be told nothing any more. Anything else is tried again.",
        status_code=204,
        tags=["webhooks"],
        response_description="You have it.",
        # With it FastAPI does not promise a 422 of its own shape in your name.
        responses={"default": {"description": "Tried again, up to seven times within 31 hours."}},
    )(receive)


def _header(description: str) -> Any:
    return Annotated[str, Header(description=description)]

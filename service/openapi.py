"""How the API describes itself: Problem for every error, the shapes of bodies and streams, headers declared."""

import threading
from typing import Any, Final

from fastapi import FastAPI

from contract.spec import JobSpec
from service import actions, illustration, shapes
from service.hooks import announced, asked
from service.problems import MEDIA_TYPE, Problem

Json = dict[str, Any]

EVENT_STREAM: Final[Json] = {
    "description": "A page of events; with `Accept: text/event-stream` a stream of them.",
    "content": {
        "text/event-stream": {
            "schema": {
                "type": "string",
                "description": "Server-sent events. `event` is the event's type and `data` an Event with `id`; for `event: metrics` "
                "`data` is a Live and for `event: resync` a Resync, both without `id`.",
            },
            # What one item of the stream is: `itemSchema` from OpenAPI 3.2 on, which few tools read yet.
            "x-itemSchema": {
                "type": "object",
                "required": ["data"],
                "properties": {
                    "id": {"type": "string", "pattern": "^[0-9]+$", "description": "The event's `seq`; none on `metrics` and `resync`."},
                    "event": {"type": "string", "description": "`metrics`, `resync`, or the event's `type`."},
                    "data": {
                        "type": "string",
                        "contentMediaType": "application/json",
                        "contentSchema": {
                            "anyOf": [
                                {"$ref": "#/components/schemas/Event"},
                                {"$ref": "#/components/schemas/Live"},
                                {"$ref": "#/components/schemas/Resync"},
                            ]
                        },
                    },
                },
            },
            "example": 'event: status\ndata: {"object":"training.event","seq":1,"type":"status","message":"queued",…}\nid: 1\n\n',
        }
    },
}

FILE: Final[Json] = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}

TAGS: Final[list[Json]] = [
    {"name": "jobs", "description": "Submit a training job, follow its status; pause, resume, cancel, retry and extend it."},
    {"name": "progress", "description": "What a job says while it trains: events, live or later, and metrics."},
    {"name": "results", "description": "What a job leaves: its result, and checkpoints to download."},
    {"name": "datasets", "description": "Data of your own to train on."},
    {"name": "fine-tuning", "description": "The same jobs in the shapes of OpenAI's fine-tuning API, for programs written for that one."},
    {"name": "webhooks", "description": "Have a place of yours told of jobs: signed messages, sent until they arrive, and a log of them."},
    {"name": "access", "description": "Who may use this service: API keys, what was done with them, and how much each tenant may have."},
    {"name": "service", "description": "What this service offers and how it is."},
]

_TOLD: Final = {
    400: "The request cannot be read.",
    404: "There is no such thing here.",
    406: "The page has none of the forms that Accept names.",
    408: "The body did not come in time.",
    409: "The job is in a state that does not allow this.",
    410: "It existed and is not kept any longer.",
    412: "The job was changed since the reply whose ETag `If-Match` names.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    416: "The range begins past the end.",
    422: "Something in the request cannot be; everything that is wrong is told at once.",
    503: "Something the service depends on does not answer; try again after `Retry-After` seconds.",
}


def problems(*statuses: int) -> dict[int | str, Json]:
    """The error replies of a route, for its `responses`. One that reads a body (413) may also wait for it in vain (408)."""
    statuses = tuple(sorted({*statuses, 408})) if 413 in statuses else statuses
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    found: dict[int | str, Json] = {status: {"description": _TOLD[status], "content": content} for status in statuses}
    if 503 in found:
        found[503]["headers"] = {"Retry-After": header("Seconds to wait.", "integer")}
    return found


def header(description: str, kind: str = "string") -> Json:
    """A response header as the description shows it; `kind` is the JSON type of its value."""
    return {"description": description, "schema": {"type": kind}}


FILE_HEADERS: Final[Json] = {
    "ETag": header("The file's SHA-256, quoted."),
    "Accept-Ranges": header("`bytes`."),
    "Content-Digest": header("SHA-256 of what is sent, when that is the whole file (RFC 9530)."),
    "Repr-Digest": header("SHA-256 of the whole file (RFC 9530)."),
    "Content-Disposition": header("A file name to save under."),
}


def describe(app: FastAPI) -> None:
    """Have the app describe itself in our words. Making the description takes a second: once, by whichever thread is the first."""
    generate, lock = app.openapi, threading.Lock()

    def openapi() -> Json:
        with lock:  # FastAPI keeps its own, unfinished, while ours is made of it
            if app.openapi_schema is None:
                app.openapi_schema = _finished(generate())
            return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _finished(document: Json) -> Json:
    from service import secured
    from service.routes.api_keys import ApiKeyRequest
    from service.routes.quota import QuotaRequest

    schemas = document["components"]["schemas"]
    models = (
        JobSpec,
        *actions.BODIES,
        ApiKeyRequest,
        QuotaRequest,
        Problem,
        shapes.Event,
        shapes.Live,
        shapes.Resync,
        shapes.Result,
    )
    for model in (*models, asked.NewWebhook, asked.WebhookChange, asked.Rotation):
        described = model.model_json_schema(ref_template="#/components/schemas/{model}")
        for name, schema in {**described.pop("$defs", {}), model.__name__: described}.items():
            assert schemas.setdefault(name, schema) == schema or name in _SHARED, f"two schemas are called {name}"
    for name in ("Job", "Validation"):
        field = schemas[name]["properties"]["spec"]
        schemas[name]["properties"]["spec"] = {"$ref": "#/components/schemas/JobSpec", "description": field["description"]}
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    announced.exemplify(document["webhooks"])
    secured.describe(document)
    for path, item in document["paths"].items():
        for operation in item.values():
            _finish(path, operation)
    illustration.illustrate(document)
    return document


# Described twice, by FastAPI for replies and by pydantic alone; they differ in what serialization makes required.
_SHARED: Final = frozenset({"TrainingData", "Machine", "Result", "ResultLayer", "Progress", "JobState", "Problem", "ProblemFault", "Scope"})


def _finish(path: str, operation: Json) -> None:
    replies = operation["responses"]
    if "HTTPValidationError" in str(replies.get("422")):
        del replies["422"]  # FastAPI's own guess; where a parameter can be wrong the route says so itself
    if path.startswith("/v1/"):
        replies.setdefault("422", problems(422)[422])  # a query parameter that is not known is refused everywhere
    for reply in replies.values():
        reply.setdefault("headers", {})["X-Request-Id"] = header("The id of this request; yours, if you sent one of [A-Za-z0-9_-]{1,64}.")

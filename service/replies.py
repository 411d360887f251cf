"""What each shape of a reply looks like in the description, Problems among them."""

from http import HTTPStatus
from typing import Any, Final

from contract.spec import JobSpec
from service.examples import DATASET_ID, MINIMAL_SPEC

Json = dict[str, Any]

JOB_ID: Final = "job_01kaj3v2m4n5p6q7r8s9t0v1w2"
CHECKPOINT_ID: Final = "ckpt_01kaj3w8x9y0z1a2b3c4d5e6f7"
_AT: Final = "2026-11-22T07:15:00.123Z"
_SHA256: Final = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_HERE: Final = f"/v1/jobs/{JOB_ID}"
_DATA: Final[Json] = {
    "name": "fashion_mnist",
    "source": "/usr/share/dataset-fashion-mnist",
    "sha256": _SHA256,
    "train_rows": 54000,
    "validation_rows": 6000,
    "test_rows": 10000,
}
_MACHINE: Final[Json] = {"device": "cpu", "precision": "float32", "threads": 8, "cpu_capability": "AVX2", "torch": "2.11.0"}
_BEST: Final[Json] = {"checkpoint_id": CHECKPOINT_ID, "epoch": 4, "metric": "val.loss", "value": 0.2714}
_PROGRESS: Final[Json] = {"epoch": 4, "epochs": 10, "step": 3400, "steps": 8440, "fraction": 0.4028, "seconds_remaining": 61.5}
_NUMBERS: Final[Json] = {
    "train.loss": 0.2431,
    "train.penalty.l2": 0.0312,
    "train.objective": 0.2743,
    "lr": 0.001,
    "samples_per_second": 4915.2,
}


def problem(status: int) -> Json:
    """A Problem as it comes with this status."""
    code, detail = _PROBLEMS[status]
    faults = [
        {"pointer": "/optimizer/kind", "code": "unknown_kind", "message": "no such kind; did you mean 'adamw'? one of gd, sgd, adamw, …"}
    ]
    return {
        "type": f"urn:ridgeline:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "instance": _HERE,
        "request_id": "req_01kaj3v2m4n5p6q7r8s9t0v1w2",
        "errors": faults if status == HTTPStatus.UNPROCESSABLE_ENTITY else [],
    }


_PROBLEMS: Final = {
    400: ("malformed_json", "the body is no JSON: Expecting value at line 1, column 12"),
    401: ("unauthorized", "this needs an API key; send the header Authorization: Bearer KEY"),
    403: ("forbidden", "the key has the scopes jobs:read; this needs jobs:write"),
    404: ("not_found", f"no job '{JOB_ID}'"),
    405: ("method_not_allowed", "this page knows GET, HEAD only"),
    406: ("not_acceptable", "this comes as application/json; ask for that in Accept, or leave the header away"),
    408: ("body_too_slow", "4,096 bytes of the body came in 20 seconds; send it faster than 16,384 bytes a second"),
    409: ("state_conflict", f"job {JOB_ID} has succeeded and cannot be paused"),
    410: ("gone", f"checkpoint {CHECKPOINT_ID} is not kept any longer"),
    411: ("length_required", "say how long the body is, in Content-Length"),
    412: ("precondition_failed", "the job changed since you read it; read it again and decide anew"),
    413: ("body_too_large", "a body may have 1,048,576 bytes at most"),
    415: ("unsupported_media_type", "this route reads JSON; send the header Content-Type: application/json"),
    416: ("range_not_satisfiable", "the range begins past the end; the file has 1048576 bytes"),
    422: ("invalid_spec", "one thing is wrong with the job spec; see errors"),
    428: ("precondition_required", "say in If-Match which state of it you change"),
    429: ("too_many_requests", "too many requests; try again in 7 seconds"),
    500: ("internal", "something went wrong on our side; the log of the service tells what, under this request_id"),
    502: ("bad_gateway", "what the service passed this on to did not answer; try again"),
    503: ("store_unavailable", "something the service depends on does not answer; try again in a few seconds, /readyz tells more"),
    507: ("insufficient_storage", "there is no room left for this; remove something first"),
}

_JOB: Final[Json] = {
    "object": "training.job",
    "id": JOB_ID,
    "name": "fashion-l2",
    "metadata": {"team": "vision"},
    "status": "running",
    "status_reason": "claimed",
    "created_at": "2026-11-22T07:14:02.310Z",
    "started_at": "2026-11-22T07:14:02.955Z",
    "finished_at": None,
    "updated_at": _AT,
    "spec": MINIMAL_SPEC,
    "progress": _PROGRESS,
    "queue": None,
    "attempt": 1,
    "latest_metrics": _NUMBERS,
    "best": _BEST,
    "status_transitions": [
        {"from": None, "to": "queued", "at": "2026-11-22T07:14:02.310Z", "reason": "submitted", "actor": "client"},
        {"from": "queued", "to": "running", "at": "2026-11-22T07:14:02.955Z", "reason": "claimed", "actor": "worker"},
    ],
    "error": None,
    "parent": None,
    "dataset": _DATA,
    "machine": _MACHINE,
    "links": {
        "self": _HERE,
        **{
            name: f"{_HERE}/{name}"
            for name in ("events", "metrics", "result", "checkpoints", "cancel", "pause", "resume", "retry", "extend", "clone")
        },
    },
}
_EVENT: Final[Json] = {
    "object": "training.event",
    "seq": 2,
    "type": "status",
    "at": "2026-11-22T07:14:02.955Z",
    "level": "info",
    "message": "running: claimed",
    "data": {"from": "queued", "to": "running", "reason": "claimed", "actor": "worker"},
}
_CHECKPOINT: Final[Json] = {
    "object": "training.checkpoint",
    "id": CHECKPOINT_ID,
    "job_id": JOB_ID,
    "epoch": 4,
    "step": 3376,
    "metrics": {"val.loss": 0.2714, "val.accuracy": 0.9021},
    "aliases": ["best", "last"],
    "pinned": False,
    "size_bytes": 1701340,
    "format": "safetensors",
    "files": [
        {
            "name": "model.safetensors",
            "size_bytes": 1701340,
            "sha256": _SHA256,
            "href": f"{_HERE}/checkpoints/{CHECKPOINT_ID}/files/model.safetensors",
        }
    ],
    "created_at": _AT,
}
_RESULT: Final[Json] = {
    "object": "training.result",
    "job_id": JOB_ID,
    "stop_reason": "epochs",
    "epochs": 10,
    "steps": 8440,
    "metrics": {"train.loss": 0.1532, "test.loss": 0.2609, "test.accuracy": 0.9087},
    "best_epoch": 9,
    "best_metrics": {"val.loss": 0.2533, "val.accuracy": 0.9102},
    "confusion": [[4821, 179], [212, 4788]],
    "classes": [
        {"label": 0, "precision": 0.9579, "recall": 0.9642, "f1": 0.961, "support": 5000},
        {"label": 1, "precision": 0.964, "recall": 0.9576, "f1": 0.9608, "support": 5000},
    ],
    "layers": [{"name": "fc1", "size": 401408, "zeros": 351207, "near_zero": 352113, "l1": 812.4, "l2": 9.71}],
    "parameters": 421642,
    "data": _DATA,
    "machine": _MACHINE,
    "versions": {"torch": "2.11.0"},
    "timings": {"queue": 0.6, "start": 0.4, "load": 0.2, "train": 101.3, "evaluate": 1.1, "checkpoint": 0.9},
    "samples_per_second": 4915.2,
    "resumed_at_steps": [],
    "bitwise": True,
    "best": _BEST,
    "best_checkpoint_id": CHECKPOINT_ID,
    "last_checkpoint_id": CHECKPOINT_ID,
    "seed": 0,
    "attempts": 1,
}
_POINT: Final[Json] = {"object": "training.metrics", "step": 3400, "scope": "step", "epoch": 5, "at": _AT, "values": _NUMBERS}


def _page(item: Json) -> Json:
    return {"object": "list", "data": [item], "has_more": False, "next_cursor": None}


_DATASET: Final[Json] = {
    "object": "dataset",
    "id": DATASET_ID,
    "name": "digits.npz",
    "format": "npz",
    "sha256": _SHA256,
    "size_bytes": 118930,
    "shape": [1, 8, 8],
    "dtype": "uint8",
    "targets": "classes",
    "outputs": 2,
    "train_rows": 1500,
    "unlabelled_rows": 12,
    "test_rows": 297,
    "classes": [
        {"index": 0, "name": None, "train_rows": 744, "test_rows": 149},
        {"index": 1, "name": None, "train_rows": 744, "test_rows": 148},
    ],
    "created_at": _AT,
    "links": {"self": f"/v1/datasets/{DATASET_ID}"},
}

REPLIES: Final[dict[str, Json]] = {
    "Dataset": _DATASET,
    "DatasetList": _page(_DATASET),
    "Job": _JOB,
    "JobList": _page(_JOB),
    "Event": _EVENT,
    "EventList": _page(_EVENT),
    "Live": {"object": "training.progress", "status": "running", "progress": _PROGRESS, "latest_metrics": _NUMBERS},
    "Checkpoint": _CHECKPOINT,
    "CheckpointList": _page(_CHECKPOINT),
    "MetricPoint": _POINT,
    "MetricList": _page(_POINT),
    "Result": _RESULT,
    "Validation": {
        "spec": JobSpec.model_validate(MINIMAL_SPEC).model_dump(mode="json"),
        "parameters": 421642,
        "layers": [{"name": "conv1", "weight": [32, 1, 3, 3], "bias": [32], "parameters": 320}],
    },
}
"""By the name of the shape. A shape that is not here is sketched from its schema."""

"""What examples the description shows: a spec of each kind, and what each shape of a reply looks like."""

from collections.abc import Iterator
from functools import cache
from http import HTTPStatus
from typing import Any, Final, get_args

from contract.spec import JobSpec, datasets, losses, models, optimizers, penalties, schedules
from contract.spec.base import Spec

Json = dict[str, Any]

FAMILIES: Final = {
    "dataset": datasets.Dataset,
    "model": models.Model,
    "loss": losses.Loss,
    "optimizer": optimizers.Optimizer,
    "schedule": schedules.Schedule,
    "penalties": penalties.Penalty,
}
"""By the field of the spec; each a union told apart by `kind`."""

QUICK_SPEC: Final[Json] = {
    "name": "quick",
    "dataset": {"kind": "fake", "train_rows": 600, "test_rows": 100, "height": 12, "width": 12},
    "model": {"kind": "cnn", "channels": [8], "hidden": [16]},
    "optimizer": {"kind": "adam"},
    "penalties": [{"kind": "l1", "lambda": 1e-4}, {"kind": "l2", "lambda": 5e-4}],
    "epochs": 3,
}
MINIMAL_SPEC: Final[Json] = {"optimizer": {"kind": "adam"}, "penalties": [{"kind": "l2", "lambda": 5e-4}], "epochs": 10}
FULL_SPEC: Final[Json] = {
    "name": "fashion-l1",
    "metadata": {"team": "vision"},
    "dataset": {"kind": "builtin", "name": "fashion_mnist", "validation_fraction": 0.1},
    "model": {"kind": "tutorial_cnn"},
    "loss": {"kind": "cross_entropy", "label_smoothing": 0.0},
    "optimizer": {"kind": "adam", "lr": 1e-3, "betas": [0.9, 0.999], "eps": 1e-8, "amsgrad": False},
    "schedule": {"kind": "cosine", "warmup_epochs": 1, "min_factor": 0.01},
    "penalties": [
        {"kind": "l1", "lambda": 1e-5, "apply": "proximal", "on": "weights", "warmup_epochs": 1},
        {"kind": "l2", "lambda": 5e-4, "on": ["fc1", "fc2"]},
    ],
    "epochs": 10,
    "batch_size": 64,
    "seed": 0,
    "precision": "auto",
    "deterministic": False,
    "early_stopping": {"monitor": "val.loss", "mode": "min", "patience": 5, "min_delta": 0.0},
    "tolerance": {"gradient_mapping": 1e-3},
    "averaging": {"kind": "ema", "decay": 0.999},
    "polish": {"epochs": 2, "lr": 1e-4},
    "checkpoints": {"every_epochs": 1, "keep_last": 2, "keep_best": 1, "monitor": "val.loss", "mode": "min"},
    "limits": {"max_runtime_seconds": 3600, "max_queue_seconds": 86400},
    "init_from": None,
    "device": "auto",
    "priority": 0,
}

JOB_ID: Final = "job_01kaj3v2m4n5p6q7r8s9t0v1w2"
CHECKPOINT_ID: Final = "ckpt_01kaj3w8x9y0z1a2b3c4d5e6f7"
DATASET_ID: Final = "ds_01kaj3t0a1b2c3d4e5f6g7h8j9"
_NEEDED: Final[Json] = {"lambda": 1e-4, "id": DATASET_ID}
"""What has no default."""
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


def specs() -> Iterator[tuple[str, str, Json]]:
    """Name, summary and document of the specs that a submission is shown with: a quick one, the least, the whole, and one of each kind."""
    # The first is what the docs page submits when it is tried out: it must end while somebody watches.
    yield "quick", "A job of seconds, on made-up data", QUICK_SPEC
    yield "minimal", "What a newcomer needs", MINIMAL_SPEC
    yield "full", "Every field", FULL_SPEC
    for family, union in FAMILIES.items():
        for member in members(union):
            shown = kind(member)
            spec = {family: [shown] if family == "penalties" else shown}
            yield f"{family}_{shown['kind']}", _first_sentence(member), spec


def members(family: Any) -> tuple[type[Spec], ...]:
    """The classes of a union that is told apart by `kind`."""
    union, *_ = get_args(family)
    return get_args(union)


@cache
def kind(member: type[Spec]) -> Json:
    """A kind with every field that it has, at its default where there is one."""
    needed = [field.alias or name for name, field in member.model_fields.items() if field.is_required()]
    return member.model_validate({name: _NEEDED[name] for name in needed}).model_dump(mode="json")


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


def _first_sentence(member: type[Spec]) -> str:
    return " ".join((member.__doc__ or "").split()).split(". ")[0].rstrip(".")


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

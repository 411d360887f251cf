"""The checkpoints of a job and their bytes."""

import base64
import math
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, Path, Query, Response, status
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from contract.artifacts import Artifacts
from contract.errors import ArtifactCorruptError, GoneError, NotFoundError
from contract.events import File
from contract.store import checkpoints, keeping
from contract.store.checkpoints import Checkpoint
from service import actions, deps, ranges, shapes, views
from service.bodies import PIN_BODY
from service.body import Document
from service.errors import UnknownNameError
from service.openapi import FILE, FILE_HEADERS, header, problems

router = APIRouter(prefix="/v1/jobs/{job_id}/checkpoints", tags=["results"])

_NAME: Final = re.compile(r"best|last|ckpt_[0-9a-z]{26}")


def _checkpoint(
    job: deps.Job, store: deps.Store, name: Annotated[str, Path(description="`best`, `last`, or a checkpoint's `id`.")]
) -> Checkpoint:
    if not _NAME.fullmatch(name):
        raise UnknownNameError("checkpoint")
    return checkpoints.get(store, job, name)


Named = Annotated[Checkpoint, Depends(_checkpoint)]


def _file(checkpoint: Named, file: Annotated[str, Path(description="The file's `name`.")]) -> File:
    found = next((known for known in checkpoint.files if known.name == file), None)
    if found is None:
        raise UnknownNameError(f"file in checkpoint {checkpoint.id}")
    return found


NamedFile = Annotated[File, Depends(_file)]


class Order(BaseModel):
    """In which order checkpoints are listed."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    sort: Annotated[str, Field(pattern=r"^-?[A-Za-z0-9_.]{1,100}$", examples=["val.loss", "-val.accuracy"])] | None = None
    """A metric, `epoch` or `step`, the least first; with a `-` before it the greatest first. Those without a value of it, or with NaN,
    come last, and of equal ones the newer first. Newest first by default."""


@router.get("", operation_id="list_checkpoints", summary="List a job's checkpoints", responses=problems(404, 422, 503))
def listed(job: deps.Job, store: deps.Store, order: Annotated[Order, Query()]) -> shapes.CheckpointList:
    """Those that are kept: by the job's checkpoint policy, or because they are pinned."""
    found = checkpoints.listed(store, job)
    return shapes.CheckpointList(data=[views.checkpoint(one, job) for one in (_sorted(found, order.sort) if order.sort else found)])


@router.get("/{name}", operation_id="get_checkpoint", summary="Look at a checkpoint", responses=problems(404, 410, 503))
def get(job: deps.Job, checkpoint: Named) -> shapes.Checkpoint:
    """One checkpoint with its files. 410 for the id of one that was deleted or that the policy did not keep; the name `best` or `last`
    of one that was deleted is a 404, which says so: no other takes its place."""
    return views.checkpoint(checkpoint, job)


@router.patch(
    "/{name}",
    operation_id="pin_checkpoint",
    summary="Pin a checkpoint",
    responses=problems(400, 404, 410, 413, 415, 422, 503),
    openapi_extra=PIN_BODY,
)
def patch(checkpoint: Named, document: Document, store: deps.Store, tenant: deps.Tenant) -> shapes.Checkpoint:
    """`pinned: true` keeps it whatever the job's checkpoint policy says. Harmless to repeat."""
    pinned = actions.read(actions.Pin, document).pinned
    job, found = keeping.pin(store, tenant, checkpoint.id, pinned=pinned)
    return views.checkpoint(found, job)


@router.delete(
    "/{name}",
    operation_id="delete_checkpoint",
    summary="Delete a checkpoint",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(404, 409, 410, 503),
)
def delete(checkpoint: Named, store: deps.Store, tenant: deps.Tenant) -> None:
    """It is gone at once, its bytes soon. 409 while it is pinned, while it is the last of a job that is not over, or while
    another job is to begin from it. The best of a job that is over goes like any other; pin what must stay."""
    keeping.remove(store, tenant, checkpoint.id)


@router.get(
    "/{name}/files/{file}",
    operation_id="download_checkpoint_file",
    summary="Download a file of a checkpoint",
    response_class=StreamingResponse,
    responses={
        200: {"description": "The whole file.", "content": FILE, "headers": FILE_HEADERS},
        206: {"description": "The range asked for.", "content": FILE, "headers": {**FILE_HEADERS, "Content-Range": header("Which bytes.")}},
        304: {"description": "The client has these bytes already."},
        **problems(404, 410, 416, 503),
    },
)
def download(
    checkpoint: Named,
    file: NamedFile,
    artifacts: deps.Artifacts,
    range: Annotated[str | None, Header(description="One range of bytes, as `bytes=0-1023`.")] = None,
    if_range: Annotated[str | None, Header(description="Take the range only if the file still has this ETag.")] = None,
    if_none_match: Annotated[str | None, Header(description="ETag of the bytes that the client has.")] = None,
) -> Response:
    """The bytes of a checkpoint's file. Its ETag is its SHA-256, so a download can be resumed and checked."""
    headers = _headers(checkpoint, file)
    if ranges.is_known(if_none_match, headers["ETag"]):
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=headers)
    span = ranges.wanted(range, file.size_bytes) if if_range in {None, headers["ETag"]} else None
    if span is None:
        headers |= {"Content-Length": str(file.size_bytes), "Content-Digest": _digest(file)}
        return StreamingResponse(_bytes(artifacts, checkpoint, file, ranges.Span(0, file.size_bytes)), headers=headers)
    headers |= {"Content-Length": str(span.size), "Content-Range": f"bytes {span.start}-{span.end - 1}/{file.size_bytes}"}
    return StreamingResponse(_bytes(artifacts, checkpoint, file, span), status.HTTP_206_PARTIAL_CONTENT, headers)


@router.head(
    "/{name}/files/{file}",
    operation_id="head_checkpoint_file",
    summary="Look at a checkpoint's file without its bytes",
    response_class=Response,
    responses={
        200: {"description": "The file is there.", "headers": FILE_HEADERS},
        304: {"description": "The client has these bytes already."},
        **problems(404, 410, 503),
    },
)
def head(
    checkpoint: Named,
    file: NamedFile,
    artifacts: deps.Artifacts,
    if_none_match: Annotated[str | None, Header(description="ETag of the bytes that the client has.")] = None,
) -> Response:
    """The headers of the download: size, ETag and digest."""
    headers = _headers(checkpoint, file)
    if ranges.is_known(if_none_match, headers["ETag"]):
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=headers)
    _assert_whole(artifacts, checkpoint, file)
    return Response(headers={**headers, "Content-Length": str(file.size_bytes), "Content-Digest": _digest(file)})


def _sorted(found: Sequence[Checkpoint], sort: str) -> list[Checkpoint]:
    name, sign = sort.removeprefix("-"), -1.0 if sort.startswith("-") else 1.0

    def place(checkpoint: Checkpoint) -> tuple[bool, float]:
        given = {"epoch": checkpoint.epoch, "step": checkpoint.step}.get(name, checkpoint.metrics.get(name))
        value = math.nan if given is None else float(given)  # also of "Infinity", as JSON has it here
        return (True, 0.0) if math.isnan(value) else (False, sign * value)

    return sorted(found, key=place)


def _headers(checkpoint: Checkpoint, file: File) -> dict[str, str]:
    return {
        "ETag": f'"{file.sha256}"',
        "Accept-Ranges": "bytes",
        # Of the whole file also where a part is sent; Content-Digest speaks of what is sent (RFC 9530).
        "Repr-Digest": _digest(file),
        "Content-Type": "application/json" if file.name.endswith(".json") else "application/octet-stream",
        "Content-Disposition": f'attachment; filename="{checkpoint.id}-{file.name}"',
    }


def _digest(file: File) -> str:
    return f"sha-256=:{base64.b64encode(bytes.fromhex(file.sha256)).decode()}:"


def _bytes(artifacts: Artifacts, checkpoint: Checkpoint, file: File, span: ranges.Span) -> Iterator[bytes]:
    _assert_whole(artifacts, checkpoint, file)
    try:
        return artifacts.read(_key(checkpoint, file), span.start, span.end)
    except NotFoundError:
        raise _gone(checkpoint) from None


def _assert_whole(artifacts: Artifacts, checkpoint: Checkpoint, file: File) -> None:
    """Raises GoneError for bytes that are not there, ArtifactCorruptError for a file of another length than was stored."""
    try:
        found = artifacts.stat(_key(checkpoint, file)).size_bytes
    except NotFoundError:
        raise _gone(checkpoint) from None
    if found != file.size_bytes:
        raise ArtifactCorruptError(f"{_key(checkpoint, file)} has {found} bytes and should have {file.size_bytes}")


def _gone(checkpoint: Checkpoint) -> GoneError:
    return GoneError(f"the bytes of checkpoint {checkpoint.id} are not kept any longer")


def _key(checkpoint: Checkpoint, file: File) -> str:
    return f"{checkpoint.prefix}/{file.name}"

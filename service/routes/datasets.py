"""Data sets of your own: uploaded, listed, looked at, deleted."""

import asyncio
from email.message import Message
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response, status
from pydantic import BaseModel, ConfigDict, Field

from contract.artifacts import Artifacts
from contract.spec.base import Text
from contract.store import Store, datasets
from contract.store.datasets import Dataset, Draft
from service import deps, pages, shapes, uploads, views
from service.errors import BadHeaderError, UnknownNameError
from service.openapi import FILE, header, problems
from service.uploads import Verdict

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

_BODY: Final = {"requestBody": {"required": True, "content": FILE}}
_LOCATION: Final = {"Location": header("Path of the data set.")}
_LONGEST_NAME: Final = 200


class Naming(BaseModel):
    """What an upload is called."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    name: Annotated[Text | None, Field(min_length=1)] = None
    """A name of your own; need not be unique. By default the file name in `Content-Disposition`."""


class Paging(BaseModel):
    """Which data sets a list shows."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    """Data sets a page."""
    cursor: str | None = None
    """`next_cursor` of the page before."""


async def _dataset_id(
    dataset_id: Annotated[str, Path(description="The data set's `id`.", examples=["ds_01kaj3v2m4n5p6q7r8s9t0v1w2"])],
) -> str:
    if not datasets.ID.fullmatch(dataset_id):
        raise UnknownNameError("data set")
    return dataset_id


Id = Annotated[str, Depends(_dataset_id)]


@router.post(
    "",
    operation_id="upload_dataset",
    summary="Upload a data set",
    status_code=status.HTTP_201_CREATED,
    responses={
        201: {"headers": _LOCATION},
        200: {"model": shapes.Dataset, "description": "You have a data set of this very content already: this one.", "headers": _LOCATION},
        **problems(400, 413, 415, 422, 503),
    },
    openapi_extra=_BODY,
)
async def upload(
    request: Request,
    response: Response,
    state: deps.State,
    tenant: deps.Tenant,
    naming: Annotated[Naming, Query()],
    content_disposition: Annotated[str | None, Header(description='The file\'s name, as `attachment; filename="digits.npz"`.')] = None,
) -> shapes.Dataset:
    """Send the file itself as the body, as `application/octet-stream`. What it is, is told from its content: a `.npz` of `x` and `y`
    (or `x_train`, `y_train`, `x_test`, `y_test`), a zip of IDX files (plain or `.gz`), or a zip of class folders of PNG or JPEG images.

    `x` is [n, features], [n, h, w] or [n, c, h, w] of uint8, float32 or float64; `y` the numbers of classes, -1 for one that is
    missing, or real targets. Everything that is wrong is told by file and row, and nothing is kept then. The same content again is
    the same data set. Train on it with `"dataset": {"kind": "uploaded", "id": "ds_…"}`.
    """
    name = naming.name or _file_name(content_disposition) or "upload"
    async with uploads.received(request, state.settings) as body:
        verdict = await uploads.checked(body, state.settings)
        kept, is_new = await asyncio.to_thread(
            _keep, state.store, state.artifacts, tenant, name, verdict, state.settings.dataset_tenant_bytes
        )
    response.status_code = status.HTTP_201_CREATED if is_new else status.HTTP_200_OK
    response.headers["Location"] = f"/v1/datasets/{kept.id}"
    return _shown(kept)


@router.get("", operation_id="list_datasets", summary="List data sets, newest first", responses=problems(400, 422, 503))
def listed(paging: Annotated[Paging, Query()], store: deps.Store, tenant: deps.Tenant) -> shapes.DatasetList:
    """A page of data sets. Those uploaded while you turn pages come before the first page; none is shown twice or left out."""
    found = datasets.page(store, tenant, paging.limit + 1, pages.decode(paging.cursor, []))
    shown, more, following = pages.cut(found, paging.limit, [])
    return shapes.DatasetList(data=[_shown(dataset) for dataset in shown], has_more=more, next_cursor=following)


@router.get("/{dataset_id}", operation_id="get_dataset", summary="Look at a data set", responses=problems(404, 503))
def get(dataset_id: Id, store: deps.Store, tenant: deps.Tenant) -> shapes.Dataset:
    """What is in it: shape, type, rows, and how many of each class."""
    return _shown(datasets.get(store, tenant, dataset_id))


@router.delete(
    "/{dataset_id}",
    operation_id="delete_dataset",
    summary="Delete a data set",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(404, 409, 503),
)
def delete(dataset_id: Id, store: deps.Store, tenant: deps.Tenant) -> None:
    """It is gone at once, and its bytes soon after. 409 `in_use` while a job that has not ended was given it; the results and
    checkpoints of jobs that have ended stay."""
    datasets.remove(store, tenant, dataset_id)


def _keep(store: Store, artifacts: Artifacts, tenant: str, name: str, verdict: Verdict, tenant_bytes: int) -> tuple[Dataset, bool]:
    """The data set with its bytes stored, and whether it is new. A row goes before the bytes: none are ever there without one."""
    draft = Draft(name=name, format=verdict.format, sha256=verdict.sha256, facts=verdict.facts, files=verdict.files)
    begun = datasets.begin(store, tenant, draft, tenant_bytes)
    if begun.state == "ready":
        return begun, False
    try:
        for file in verdict.files:
            artifacts.put(f"{begun.prefix}/{file.name}", verdict.folder / file.name, file.sha256)
    except BaseException:
        datasets.abandon(store, begun.id)
        raise
    kept = datasets.finish(store, begun)
    return kept, kept.id == begun.id


def _file_name(disposition: str | None) -> str | None:
    """The last part of the name in the header, whatever folders it names before. Raises BadHeaderError for what is no name."""
    if not disposition:
        return None
    message = Message()
    message["Content-Disposition"] = disposition
    given = message.get_filename()
    name = (given or "").replace("\\", "/").rpartition("/")[2]
    if not name:
        return None
    if not name.isprintable() or len(name) > _LONGEST_NAME:
        raise BadHeaderError(f"the file name in Content-Disposition has to be of 1 to {_LONGEST_NAME} printable characters")
    return name


def _shown(row: Dataset) -> shapes.Dataset:
    return shapes.Dataset(
        id=row.id,
        name=row.name,
        format=row.format,
        sha256=row.sha256,
        size_bytes=row.size_bytes,
        created_at=views.time(row.created_at),
        links=shapes.DatasetLinks(self=f"/v1/datasets/{row.id}"),
        **row.facts,
    )

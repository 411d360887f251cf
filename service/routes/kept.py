"""Checkpoints by their id alone, whichever job wrote them.

The same deeds as under a job, by the same calls; what stands twice is how two addresses are described.
"""

import re
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, status

from contract.store import keeping
from service import actions, deps, shapes, views
from service.bodies import PIN_BODY
from service.body import Document
from service.errors import UnknownNameError
from service.openapi import problems

router = APIRouter(prefix="/v1/checkpoints/{checkpoint_id}", tags=["results"])

_ID: Final = re.compile(r"ckpt_[0-9a-z]{26}")


async def _checkpoint_id(
    checkpoint_id: Annotated[str, Path(description="The checkpoint's `id`.", examples=["ckpt_01kaj3v2m4n5p6q7r8s9t0v1w2"])],
) -> str:
    if not _ID.fullmatch(checkpoint_id):
        raise UnknownNameError("checkpoint")
    return checkpoint_id


Id = Annotated[str, Depends(_checkpoint_id)]


def _known(checkpoint_id: Id, store: deps.Store, tenant: deps.Tenant) -> str:
    keeping.find(store, tenant, checkpoint_id)
    return checkpoint_id


Known = Annotated[str, Depends(_known)]
"""The id of a checkpoint that there is: what is not there is a 404 whatever the body says."""


@router.get("", operation_id="find_checkpoint", summary="Look at a checkpoint by its id", responses=problems(404, 410, 503))
def get(checkpoint_id: Id, store: deps.Store, tenant: deps.Tenant) -> shapes.Checkpoint:
    """The same as under its job."""
    job, found = keeping.find(store, tenant, checkpoint_id)
    return views.checkpoint(found, job)


@router.patch(
    "",
    operation_id="pin_checkpoint_by_id",
    summary="Pin a checkpoint by its id",
    responses=problems(400, 404, 410, 413, 415, 422, 503),
    openapi_extra=PIN_BODY,
)
def patch(checkpoint_id: Known, document: Document, store: deps.Store, tenant: deps.Tenant) -> shapes.Checkpoint:
    """`pinned: true` keeps it whatever its job's checkpoint policy says. Harmless to repeat."""
    pinned = actions.read(actions.Pin, document).pinned
    job, found = keeping.pin(store, tenant, checkpoint_id, pinned=pinned)
    return views.checkpoint(found, job)


@router.delete(
    "",
    operation_id="delete_checkpoint_by_id",
    summary="Delete a checkpoint by its id",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(404, 409, 410, 503),
)
def delete(checkpoint_id: Id, store: deps.Store, tenant: deps.Tenant) -> None:
    """As under its job: 409 while it is pinned or a job needs it."""
    keeping.remove(store, tenant, checkpoint_id)

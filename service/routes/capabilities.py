"""Everything that a spec may ask for here."""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from typing import Annotated, get_args

from fastapi import APIRouter, Header, Response, status

from contract.spec import JobSpec, datasets
from contract.spec.base import Spec
from contract.store import workers
from service import deps, examples, ranges, shapes
from service.openapi import header, problems

router = APIRouter(prefix="/v1", tags=["service"])


@router.get(
    "/capabilities",
    operation_id="get_capabilities",
    summary="What a spec may ask for",
    response_model=shapes.Capabilities,
    responses={
        200: {"headers": {"ETag": header("Changes with the content.")}},
        304: {"description": "The client has this already."},
        **problems(503),
    },
)
def capabilities(
    store: deps.Store, if_none_match: Annotated[str | None, Header(description="ETag of what the client has.")] = None
) -> Response:
    """Every family's kinds with the JSON Schema of each, the data sets, and the devices of the workers that are there."""
    devices = sorted({worker.device for worker in workers.listed(store) if worker.is_fresh})
    body = _offered().model_copy(update={"devices": devices}).model_dump_json().encode()
    headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()}"'}
    if ranges.is_known(if_none_match, headers["ETag"]):
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


@cache
def _offered() -> shapes.Capabilities:
    families = {name: [_kind(member) for member in examples.members(family)] for name, family in examples.FAMILIES.items()}
    return shapes.Capabilities(families=families, spec=JobSpec.model_json_schema(), datasets=list(_datasets()), devices=[])


def _kind(member: type[Spec]) -> shapes.Kind:
    summary = " ".join((member.__doc__ or "").split())
    return shapes.Kind(kind=_default(member, "kind"), summary=summary, schema_=member.model_json_schema())


def _datasets() -> Iterator[shapes.KnownDataset]:
    fake = datasets.Fake()
    for name in get_args(datasets.Builtin.model_fields["name"].annotation):
        builtin = datasets.Builtin(name=name)
        yield shapes.KnownDataset(kind=builtin.kind, name=name, **asdict(builtin.shape()))
    yield shapes.KnownDataset(kind=fake.kind, name=fake.name, **asdict(fake.shape()))


def _default(member: type[Spec], field: str) -> str:
    return str(member.model_fields[field].default)

"""A job as a resource: submitted, checked, listed, looked at and waited for, changed, deleted."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Request, Response, status
from fastapi.concurrency import run_in_threadpool

from contract.amendment import Amendment
from contract.job import Job
from contract.store import backlog, jobs, listing, removal
from contract.store.submissions import Asked
from service import actions, cursors, deps, etags, shapes, shown, specs, views, waiting
from service.bodies import AMENDMENT_BODY, SPEC_BODY
from service.body import Document
from service.errors import InvalidBodyError
from service.filters import Filters
from service.keys import CREATED, Key, born, created, read
from service.looks import Look
from service.openapi import header, problems

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

_ETAG: Final = {"ETag": header("Of the job as it is shown. For If-None-Match of a later read, and If-Match of a change.")}
_READ: Final = {**_ETAG, "Preference-Applied": header("`wait=SECONDS`, where the request asked to wait.")}

IfMatch = Annotated[
    str | None, Header(description="ETag of the job as you know it: the change is made only if nobody has changed the job since.")
]


@router.post(
    "",
    operation_id="submit_job",
    summary="Submit a training job",
    status_code=status.HTTP_201_CREATED,
    response_model=shapes.Job,
    responses={201: {"headers": CREATED}, **problems(400, 410, 413, 415, 422, 503)},
    openapi_extra=SPEC_BODY,
)
async def submit(document: Document, response: Response, here: deps.Here, idempotency_key: Key = None) -> Response | shapes.Job:
    """Check the spec, write the job down, and tell a free worker. After a 201 the job is kept whatever breaks, and ends in
    exactly one of `succeeded`, `failed` and `cancelled`.

    With an `Idempotency-Key` a submission can be repeated safely: the same key and spec answer 201 with the same job, as it
    stands by then, and `Idempotency-Replayed: true`; the same key with another spec answers 422. The key serves as long as the job
    does; once that was deleted it answers 410, so that a late repetition brings nothing back.
    """
    key, state = read(idempotency_key), here.state
    spec = specs.plain(document)
    if spec is None:
        spec = await run_in_threadpool(specs.read, document, state.store, here.tenant)
    submission = await state.submitter.ask(Asked(here.tenant, spec, key))
    if submission.replayed:
        return await run_in_threadpool(created, submission, response, state)
    return await born(submission, state)


@router.post(
    "/validate",
    operation_id="validate_job",
    summary="Check a spec without submitting it",
    responses=problems(400, 413, 415, 422, 503),
    openapi_extra=SPEC_BODY,
)
def validate(document: Document, state: deps.State, tenant: deps.Tenant) -> shapes.Validation:
    """The same checks by the same code as a submission: everything that is wrong with the spec, or what it would train, what of it is
    seldom meant, and roughly how much memory and time it takes."""
    spec = specs.read(document, state.store, tenant)
    jobs.assert_possible(state.store, tenant, spec)
    return views.validation(spec, state.forecast.look(state.store).pace.of(backlog.kind_of(spec)))


@router.get("", operation_id="list_jobs", summary="List jobs, newest first", responses=problems(400, 422, 503))
def listed(filters: Annotated[Filters, Query()], state: deps.State, tenant: deps.Tenant) -> shapes.JobList:
    """A page of jobs. A walk through the pages shows every job that was there when it began once, whatever is submitted meanwhile;
    in the order of priority, as long as none of them is changed."""
    after = cursors.decode(filters.cursor, filters.told(), _place) if filters.cursor is not None else None
    found = listing.page(state.store, tenant, filters.limit + 1, filters.read(), filters.sort, after)
    on_page = found[: filters.limit]
    more = len(found) > len(on_page)
    following = cursors.encode([on_page[-1].priority, on_page[-1].id], filters.told()) if more else None
    return shapes.JobList(data=shown.all_of(state, on_page), has_more=more, next_cursor=following)


@router.get(
    "/{job_id}",
    operation_id="get_job",
    summary="Look at a job",
    response_model=shapes.Job,
    responses={
        200: {"headers": _READ},
        304: {"description": "The client has this already, and nothing changed while it waited.", "headers": _READ},
        **problems(404, 503),
    },
)
async def get(
    request: Request,
    job_id: deps.JobId,
    here: deps.Here,
    if_none_match: Annotated[str | None, Header(description="ETag of the job as you know it.")] = None,
    prefer: Annotated[
        str | None, Header(description="`wait=30`: answer at the next change, after so many seconds at most; 60 at most.")
    ] = None,
) -> Response:
    """The job as it stands: status with its history, progress, newest metrics, and where to read on.

    With `If-None-Match` a job that has not changed is a 304 without a body. With `Prefer: wait=30` the reply waits for a change from
    what `If-None-Match` names, or from now: a client that asks again and again with the newest ETag hears of every status at once. A
    job that has ended is not waited for.
    """
    state, look = here.state, Look(here.tenant, job_id, if_none_match)
    seen = await state.looker.ask(look)
    seconds = waiting.asked_seconds(prefer)
    if seconds and (seen.body is None or if_none_match is None) and not seen.job.is_terminal:
        await waiting.for_change(request, state.store, here.tenant, job_id, seen.job.version, seconds, state.stopping)
        seen = await state.looker.ask(look)
    headers = {"ETag": seen.etag} | ({} if seconds is None else {"Preference-Applied": f"wait={seconds}"})
    if seen.body is None:
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=headers)
    return Response(seen.body, headers=headers, media_type="application/json")


@router.patch(
    "/{job_id}",
    operation_id="update_job",
    summary="Change a job's name, labels or priority",
    responses={200: {"headers": _ETAG}, **problems(400, 404, 409, 412, 413, 415, 422, 503)},
    openapi_extra=AMENDMENT_BODY,
)
def update(
    job: deps.Job, document: Document, response: Response, state: deps.State, tenant: deps.Tenant, if_match: IfMatch = None
) -> shapes.Job:
    """A merge patch (RFC 7396) of `name`, `metadata` and `priority`. The name and the labels of any job can be changed; the priority of
    one that is not queued answers 409. With `If-Match` a job that somebody else has changed meanwhile answers 412."""
    asked = actions.read(actions.Change, document)

    def specify(now: Job) -> Amendment:
        etags.assert_match(if_match, now)
        return _amendment(asked, now)

    return shown.one(state, jobs.amend(state.store, tenant, job.id, specify), response)


@router.delete(
    "/{job_id}",
    operation_id="delete_job",
    summary="Delete a job",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(404, 409, 412, 503),
)
def delete(job_id: deps.JobId, store: deps.Store, tenant: deps.Tenant, if_match: IfMatch = None) -> Response:
    """The job is gone at once from every list and every route, and a day later its numbers, checkpoints and bytes are. Those that
    another job goes on from stay as long as that needs them.

    One that has not ended answers 409: cancel it first. Repeating is harmless: as long as the bytes are there it answers 204 again.
    """
    removal.hide(store, tenant, job_id, lambda job: etags.assert_match(if_match, job))
    return Response(status_code=status.HTTP_204_NO_CONTENT)


def _amendment(asked: actions.Change, job: Job) -> Amendment:
    """The fields that were named, with their values whole. Raises InvalidBodyError for more labels than a job may have."""
    fields = asked.model_dump(include=asked.model_fields_set)
    if fields.get("priority", 0) is None:
        fields["priority"] = 0
    if "metadata" in fields:
        merged = {**job.metadata, **(asked.metadata or {})} if asked.metadata is not None else {}
        fields["metadata"] = {name: value for name, value in merged.items() if value is not None}
        if len(fields["metadata"]) > actions.MAX_LABELS:
            raise InvalidBodyError([actions.too_many_labels(len(fields["metadata"]))])
    return Amendment(fields)


def _place(found: list[Any]) -> listing.Place | None:
    match found:
        case [int(priority), str(job_id)] if abs(priority) <= 100 and deps.is_job_id(job_id):
            return listing.Place(priority, job_id)
    return None

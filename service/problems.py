"""How an error becomes a reply: what a Problem (RFC 9457) may tell, and what stays in the log."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from contract.described import by_docstrings
from contract.errors import InvalidSpecError, NotFoundError, OperatorError, QuotaExceededError, RequestError, RidgelineError
from contract.spec.faults import Fault
from service import parameters
from service.errors import (
    BodyTooSlowError,
    ForbiddenError,
    InvalidBodyError,
    InvalidDatasetError,
    RangeError,
    RateLimitedError,
    UnauthenticatedError,
    status_of,
)

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_SECONDS: Final = 2
QUOTA_RETRY_SECONDS: Final = 30
"""Until a place in the queue may be free: jobs start by the minute, not by the second."""
MAX_FAULTS: Final = 100

log = structlog.get_logger(__name__)


class ProblemFault(BaseModel):
    """One of the things that are wrong with a request."""

    model_config = ConfigDict(json_schema_extra=by_docstrings)

    pointer: str
    """JSON pointer (RFC 6901) to the value in the body; for a parameter `/query/NAME`, `/path/NAME` or `/header/NAME`."""
    code: str
    """Stable and machine-readable, as `unknown_field`."""
    message: str
    """What is wrong and what would do."""


class Problem(BaseModel):
    """Every error of this API (RFC 9457)."""

    model_config = ConfigDict(json_schema_extra=by_docstrings)

    type: str
    """`urn:ridgeline:problem:CODE`."""
    title: str
    """The status in words."""
    status: int
    """The HTTP status, repeated."""
    code: str
    """Stable and machine-readable, as `not_found`."""
    detail: str
    """What happened this time, and the remedy."""
    instance: str
    """The path of the request."""
    request_id: str
    """The X-Request-Id of this reply; the log of the service has the same."""
    errors: list[ProblemFault] = []
    """Everything that is wrong, at once; empty where `detail` says it all."""
    message: str = ""
    """`detail` once more below `/v1/fine_tuning`, where OpenAI's clients look for what they raise with; not there elsewhere."""


def install(app: FastAPI) -> None:
    """Have every error that reaches the application answered with a Problem."""
    app.add_exception_handler(RidgelineError, _of_ours)
    app.add_exception_handler(RequestValidationError, _of_parameters)
    app.add_exception_handler(HTTPException, _of_router)


def reply(
    request: Request,
    status: HTTPStatus,
    code: str,
    detail: str,
    faults: Sequence[Fault] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A Problem as an HTTP reply. ASCII only: what a client sent, such as half a surrogate pair, may have no UTF-8 form."""
    problem = Problem(
        type=f"urn:ridgeline:problem:{code}",
        title=status.phrase,
        status=status,
        code=code,
        detail=detail,
        instance=quote(request.scope["path"], errors="replace")[:256],
        request_id=request.scope.get("request_id", ""),
        errors=[ProblemFault.model_construct(pointer=f.pointer, code=f.code, message=f.message) for f in faults[:MAX_FAULTS]],
    )
    body = {**problem.model_dump(exclude={"errors", "message"}), "errors": [dict(fault) for fault in problem.errors]}
    if request.scope["path"].startswith("/v1/fine_tuning/"):
        body["message"] = detail
    return Response(json.dumps(body, ensure_ascii=True), int(status), dict(headers or {}), MEDIA_TYPE)


def unexpected(request: Request) -> Response:
    """The reply to a fault of ours. It tells nothing of the inside."""
    detail = "something went wrong on our side; the log of the service tells what, under this request_id"
    return reply(request, HTTPStatus.INTERNAL_SERVER_ERROR, "internal", detail)


async def _of_ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, RidgelineError)
    status = status_of(type(error))
    match error:
        case InvalidSpecError(faults=faults):
            return reply(request, status, error.code, _counted(len(faults), "job spec"), faults)
        case InvalidDatasetError(faults=faults):
            return reply(request, status, error.code, _counted(len(faults), "data set"), faults)
        case InvalidBodyError(faults=faults):
            return reply(request, status, error.code, _counted(len(faults), "body"), faults)
        case RangeError(size=size):
            return reply(request, status, error.code, str(error), headers={"Content-Range": f"bytes */{size}"})
        case RequestError():
            return reply(request, status, error.code, str(error), headers=_access_headers(error))
        case OperatorError():
            # The message can name hosts and users of the operator's: it goes to the log and to /readyz.
            log.warning("unavailable", code=error.code, error=str(error))
            detail = "something the service depends on does not answer; try again in a few seconds, /readyz tells more"
            return reply(request, status, error.code, detail, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
    log.error("failed", code=error.code, exc_info=error)
    return unexpected(request)


def _access_headers(error: RequestError) -> dict[str, str]:
    """What a client is told, beside the Problem, when it is not let in (RFC 6750) or is to wait, or is not waited for any longer."""
    match error:
        case BodyTooSlowError():
            return {"Connection": "close"}  # what comes of the body still would be read as the next request
        case UnauthenticatedError():
            return {"WWW-Authenticate": 'Bearer realm="ridgeline"'}
        case ForbiddenError(scope=str(scope)):
            return {"WWW-Authenticate": f'Bearer realm="ridgeline", error="insufficient_scope", scope="{scope}"'}
        case RateLimitedError(retry_after=seconds):
            return {"Retry-After": str(seconds)}
        case QuotaExceededError() if status_of(type(error)) is HTTPStatus.TOO_MANY_REQUESTS:
            return {"Retry-After": str(QUOTA_RETRY_SECONDS)}
    return {}


async def _of_parameters(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    entries = error.errors()
    names = parameters.known(request) if any(entry["type"] == "extra_forbidden" for entry in entries) else ()
    faults = [parameters.fault(entry, names) for entry in entries]
    detail = "a parameter cannot be as it is" if len(faults) == 1 else f"{len(faults)} parameters cannot be as they are"
    return reply(request, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_parameter", f"{detail}; see errors", faults)


async def _of_router(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    match status:
        case HTTPStatus.NOT_FOUND:
            return reply(request, status, NotFoundError.code, "no such page; /docs lists the routes")
        case HTTPStatus.METHOD_NOT_ALLOWED:
            # In a thread: the first time the description is made for it, which takes a second, and everybody else would wait.
            allowed = await run_in_threadpool(_allowed, request, (error.headers or {}).get("Allow", "GET"))
            return reply(request, status, "method_not_allowed", f"this page knows {allowed} only", headers={"Allow": allowed})
    return reply(request, status, status.name.lower(), status.description or status.phrase, headers=error.headers)


def _allowed(request: Request, by_router: str) -> str:
    """Every method that the path knows; the router itself names only those of the first route that has the path."""
    paths = request.app.openapi()["paths"]
    # A path as it stands goes before one that it would also fit: /v1/jobs/cancel is not the job called cancel.
    known = paths.get(request.scope["path"]) or paths.get(getattr(request.scope.get("route"), "path", "")) or by_router.split(", ")
    methods = {method.upper() for method in known}
    return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))


def _counted(faults: int, of: str) -> str:
    if faults > MAX_FAULTS:  # how many more is not counted to the end
        return f"more than {MAX_FAULTS} things are wrong with the {of}; see errors for the first {MAX_FAULTS}"
    told = "one thing is" if faults == 1 else f"{faults} things are"
    return f"{told} wrong with the {of}; see errors"

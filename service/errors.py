"""How an error becomes a reply: which status each class of the tree has, and what a Problem (RFC 9457) may tell."""

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

from contract import errors
from contract.described import by_docstrings
from contract.errors import InvalidSpecError, NotFoundError, OperatorError, RequestError, RidgelineError
from contract.spec.faults import Fault
from service import parameters

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_SECONDS: Final = 2
QUOTA_RETRY_SECONDS: Final = 30
"""Until a place in the queue may be free: jobs start by the minute, not by the second."""
MAX_FAULTS: Final = 100

log = structlog.get_logger(__name__)


class MalformedBodyError(RequestError):
    """The body is not the JSON document it should be; the message says where it stops being one."""

    code = "malformed_json"


class BadHeaderError(RequestError):
    """A header of the request has a value that cannot be."""

    code = "bad_header"


class UnsupportedMediaTypeError(RequestError):
    """The body is of a type that this route does not read."""

    code = "unsupported_media_type"


class BodyTooLargeError(RequestError):
    """The body is larger than the service reads."""

    code = "body_too_large"


class BodyTooSlowError(RequestError):
    """The body came more slowly than the service waits for; the message says how much of it came."""

    code = "body_too_slow"


class InvalidBodyError(RequestError):
    """The body of an action has faults; all of them are told."""

    code = "invalid_body"

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(f"{fault.pointer or 'the body'}: {fault.message}" for fault in faults))
        self.faults = tuple(faults)


class InvalidDatasetError(InvalidBodyError):
    """The uploaded file is no data set that can be trained on; what is wrong is told by file and row."""

    code = "invalid_dataset"


class UnknownNameError(NotFoundError):
    """A name of a form that nothing here has. It is not repeated: it can be anything."""

    def __init__(self, noun: str) -> None:
        RequestError.__init__(self, f"there is no such {noun}")


class PreconditionFailedError(RequestError):
    """The job is not any longer as the client believes it to be."""

    code = "precondition_failed"


class RangeError(RequestError):
    """No byte of the range asked for exists. `size` is how many there are."""

    code = "range_not_satisfiable"

    def __init__(self, size: int) -> None:
        super().__init__(f"the range begins past the end; the file has {size} bytes")
        self.size = size


class NotAcceptableError(RequestError):
    """The page has none of the forms that the Accept header names; the message lists those it has."""

    code = "not_acceptable"

    def __init__(self, offers: Sequence[str]) -> None:
        super().__init__(f"this page comes as {', '.join(offers)}; name one of them in Accept, or leave the header away")


class NotFinishedError(RequestError):
    """The job has no result yet; the message says where it stands."""

    code = "not_finished"


class NoResultError(RequestError):
    """The job ended without a result; the message says why."""

    code = "no_result"


class UnauthenticatedError(RequestError):
    """The request bears no API key that holds."""

    code = "unauthenticated"


class ForbiddenError(RequestError):
    """The key may not do this. `scope` is the one that is missing; None where no scope would do."""

    code = "forbidden"

    def __init__(self, message: str, scope: str | None = None) -> None:
        super().__init__(message)
        self.scope = scope


class RateLimitedError(RequestError):
    """The caller has asked too often. `retry_after` is in seconds."""

    code = "rate_limited"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


STATUS: Final[dict[type[RidgelineError], HTTPStatus]] = {
    RequestError: HTTPStatus.BAD_REQUEST,
    errors.InvalidSpecError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.NotFoundError: HTTPStatus.NOT_FOUND,
    errors.GoneError: HTTPStatus.GONE,
    errors.StateConflictError: HTTPStatus.CONFLICT,
    errors.InUseError: HTTPStatus.CONFLICT,
    errors.IdempotencyMismatchError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.BadCursorError: HTTPStatus.BAD_REQUEST,
    errors.QuotaExceededError: HTTPStatus.TOO_MANY_REQUESTS,
    errors.QuotaSpentError: HTTPStatus.FORBIDDEN,
    UnauthenticatedError: HTTPStatus.UNAUTHORIZED,
    ForbiddenError: HTTPStatus.FORBIDDEN,
    RateLimitedError: HTTPStatus.TOO_MANY_REQUESTS,
    UnknownNameError: HTTPStatus.NOT_FOUND,
    MalformedBodyError: HTTPStatus.BAD_REQUEST,
    BadHeaderError: HTTPStatus.BAD_REQUEST,
    InvalidBodyError: HTTPStatus.UNPROCESSABLE_ENTITY,
    InvalidDatasetError: HTTPStatus.UNPROCESSABLE_ENTITY,
    UnsupportedMediaTypeError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    BodyTooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    BodyTooSlowError: HTTPStatus.REQUEST_TIMEOUT,
    PreconditionFailedError: HTTPStatus.PRECONDITION_FAILED,
    RangeError: HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
    NotAcceptableError: HTTPStatus.NOT_ACCEPTABLE,
    NotFinishedError: HTTPStatus.CONFLICT,
    NoResultError: HTTPStatus.CONFLICT,
    OperatorError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.StoreUnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.BrokerUnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ArtifactsUnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ConfigurationError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ArtifactCorruptError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.LostLeaseError: HTTPStatus.INTERNAL_SERVER_ERROR,
    RidgelineError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""The status of every error there is. A class that is not named has its parent's; a test asks for each to be named."""


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


def install(app: FastAPI) -> None:
    """Have every error that reaches the application answered with a Problem."""
    app.add_exception_handler(RidgelineError, _of_ours)
    app.add_exception_handler(RequestValidationError, _of_parameters)
    app.add_exception_handler(HTTPException, _of_router)


def status_of(kind: type[RidgelineError]) -> HTTPStatus:
    """The status of an error class, its own or its nearest ancestor's."""
    return next(STATUS[ancestor] for ancestor in kind.__mro__ if ancestor in STATUS)


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
    body = {**problem.model_dump(exclude={"errors"}), "errors": [dict(fault) for fault in problem.errors]}
    if request.scope["path"].startswith("/v1/fine_tuning/"):
        body["message"] = detail  # where OpenAI's client looks for what it raises with
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
        case errors.QuotaExceededError() if status_of(type(error)) is HTTPStatus.TOO_MANY_REQUESTS:
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

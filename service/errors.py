"""What a request can be refused for beyond the contract's own errors, and the status that each class of the tree has."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from contract import errors
from contract.errors import NotFoundError, OperatorError, RequestError, RidgelineError
from contract.spec.faults import Fault


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


def status_of(kind: type[RidgelineError]) -> HTTPStatus:
    """The status of an error class, its own or its nearest ancestor's."""
    return next(STATUS[ancestor] for ancestor in kind.__mro__ if ancestor in STATUS)

"""How the description of the API tells who may ask for what, and how it answers those who may not."""

from typing import Any, Final

from service import access
from service.openapi import header
from service.problems import MEDIA_TYPE

Json = dict[str, Any]

SCHEME: Final = "api_key"
_TOLD: Final[dict[str, tuple[str, Json]]] = {
    "401": (
        "There is no API key that holds: none was sent, or it is unknown, revoked or expired.",
        {"WWW-Authenticate": header("`Bearer`.")},
    ),
    "403": (
        "The key does not have the scope, or the tenant has used up what it may have (`quota_exceeded`); without keys, the request "
        "came from another site's page.",
        {"WWW-Authenticate": header("The scope that is missing.")},
    ),
    "429": (
        "Too many requests, or (`quota_exceeded`) too many jobs in the queue.",
        {"Retry-After": header("Seconds to wait.", "integer")},
    ),
}
_LIMITS: Final[Json] = {
    "RateLimit-Policy": header("Where requests are limited: how many (`q`) in how many seconds (`w`)."),
    "RateLimit": header("Where requests are limited: how many are left (`r`), and in how many seconds all are there again (`t`)."),
}


def describe(document: Json) -> None:
    """Write the scheme, and for each operation its scope and the answers to those without it, into the document."""
    document["components"]["securitySchemes"] = {
        SCHEME: {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "rk_...",
            "description": "An API key, in the header Authorization. A service that listens on loopback can be set to ask for none.",
        }
    }
    for path in document["paths"].values():
        for operation in path.values():
            _describe(operation)


def _describe(operation: Json) -> None:
    scope = access.NEEDED[operation["operationId"]]
    if scope is access.PUBLIC:
        operation["security"] = []
        operation["responses"].setdefault("403", _problem(*_TOLD["403"]))
        return
    operation["security"] = [{SCHEME: [scope.value]}]
    for status, (description, headers) in _TOLD.items():
        operation["responses"].setdefault(status, _problem(description, headers))
    for reply in operation["responses"].values():
        reply.setdefault("headers", {}).update(_LIMITS)


def _problem(description: str, headers: Json) -> Json:
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": description, "content": content, "headers": dict(headers)}

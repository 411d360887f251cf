"""Which query parameters a route knows, and what is said of those that it does not."""

from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel

from contract.spec import faults
from contract.spec.faults import Fault


def assert_known(request: Request) -> None:
    """Raises RequestValidationError for a parameter that the route does not know: a typo is told, not passed over.

    Outside of /v1 everything passes: probes and caches add parameters of their own. So it does where a route has a model of its
    parameters, which refuses others itself, with all else that is wrong.
    """
    if not request.url.query or not request.url.path.startswith("/v1/"):
        return
    unknown = sorted(set(request.query_params) - set(known(request)))
    if unknown:
        raise RequestValidationError([{"type": "extra_forbidden", "loc": ("query", name), "msg": "", "input": None} for name in unknown])


def known(request: Request) -> list[str]:
    """The names of the query parameters that the route takes. Not from the description, which takes a second to make."""
    route = request.scope.get("route")
    return list(_taken(route.dependant)) if isinstance(route, APIRoute) else []


def _taken(dependant: Dependant) -> Iterator[str]:
    for field in dependant.query_params:
        model = field.field_info.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield from (known.alias or name for name, known in model.model_fields.items())
        else:
            yield field.alias
    for inner in dependant.dependencies:
        yield from _taken(inner)


def fault(entry: Any, names: Sequence[str]) -> Fault:
    """What is wrong with a parameter, in our words. `names` are those that there are. No value that was sent is repeated."""
    where, told = tuple(entry["loc"]), str(entry["msg"]).removeprefix("Value error, ").replace("Input should", "should")
    match entry["type"]:
        case "extra_forbidden":
            return Fault(where, "unknown_parameter", _unknown(str(where[-1]), names))
        case "enum" | "literal_error":
            return Fault(where, str(entry["type"]), faults.suggested(told, entry.get("input")))
    return Fault(where, str(entry["type"]), told)


def _unknown(name: str, names: Sequence[str]) -> str:
    if not names:
        return "there is no such parameter; this page knows none"
    near = faults.nearest(name, names)
    return f"there is no such parameter; {f'did you mean {near!r}?' if near else 'those here are ' + ', '.join(names)}"

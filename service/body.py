"""How a JSON body is read: bounded, strict, and refused with the place where it goes wrong."""

import json
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool

from service import pace
from service.errors import BodyTooLargeError, MalformedBodyError, UnsupportedMediaTypeError

MAX_BYTES: Final = 1 << 20
MAX_DIGITS: Final = 64
MAX_MEMBERS: Final = 256
MAX_ITEMS: Final = 1024
MAX_NAME: Final = 200
MAX_VALUES: Final = 2_500
"""Each can be a fault, and finding thousands keeps the interpreter from others for some milliseconds already."""
_LONG: Final = 8192
"""Bytes of a body that is read in a thread: meanwhile others are answered."""


async def _document(request: Request) -> Any:
    """The document of the request's body. Numbers beyond JSON (`NaN`, `Infinity`) pass: the spec refuses them with a pointer."""
    _assert_json(request)
    return await _parsed(await _bytes(request))


async def _document_or_nothing(request: Request) -> Any:
    """The document of the body, or an empty one where the request has none."""
    body = await _bytes(request)
    if not body:
        return {}
    _assert_json(request)
    return await _parsed(body)


Document = Annotated[Any, Depends(_document)]
OptionalDocument = Annotated[Any, Depends(_document_or_nothing)]
"""As `Document`, for a route that can also be asked without a body, and then without its type."""


def parse(body: bytes) -> Any:
    """The document that `body` holds. Raises MalformedBodyError where it is none that we read."""
    if not body.strip():
        raise MalformedBodyError("the body is empty; send a JSON object")
    if sum(map(body.count, (b",", b"[", b"{"))) > MAX_VALUES:
        # Counted before they are made: a mebibyte of brackets takes a second to read, and others wait for the same interpreter.
        raise MalformedBodyError(f"the body holds more than {MAX_VALUES:,} values; no job spec needs as many")
    try:
        return _bounded(json.loads(body.decode("utf-8"), object_pairs_hook=_object, parse_int=_integer))
    except UnicodeDecodeError as error:
        raise MalformedBodyError(f"the body is not UTF-8: byte {error.start} cannot be read; encode it as UTF-8") from None
    except json.JSONDecodeError as error:
        raise MalformedBodyError(f"the body is no JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise MalformedBodyError("the body is nested too deeply; a job spec needs five levels") from None


async def _parsed(body: bytes) -> Any:
    return await run_in_threadpool(parse, body) if len(body) > _LONG else parse(body)


def _assert_json(request: Request) -> None:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        # A browser can send any other type from any page without asking first; this one it cannot.
        raise UnsupportedMediaTypeError("this route reads JSON; send the header Content-Type: application/json")


async def _bytes(request: Request) -> bytes:
    """The body, counted while it arrives: a length that was declared may be a lie."""
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and (len(declared) > 18 or int(declared) > MAX_BYTES):
        raise _too_large()
    body = bytearray()
    async for piece in pace.pieces(request, request.app.state.held.settings):
        body += piece
        if len(body) > MAX_BYTES:
            raise _too_large()
    return bytes(body)


def _too_large() -> BodyTooLargeError:
    return BodyTooLargeError(f"a body may have {MAX_BYTES:,} bytes at most")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_MEMBERS:
        raise MalformedBodyError(f"an object in the body has {len(pairs)} members; {MAX_MEMBERS} at most")
    if any(len(name) > MAX_NAME for name, _ in pairs):
        raise MalformedBodyError(f"an object in the body has a name of more than {MAX_NAME} characters")
    found = dict(pairs)
    if len(found) < len(pairs):
        # Two readers may take different ones of the two: better none than the wrong one.
        raise MalformedBodyError("an object in the body has two members of the same name; keep one")
    return found


def _bounded(document: Any) -> Any:
    """The document, with no list longer than any spec may hold: each item would be checked, and told of, alone."""
    waiting = [document]
    while waiting:
        here = waiting.pop()
        if isinstance(here, list) and len(here) > MAX_ITEMS:
            raise MalformedBodyError(f"a list in the body has {len(here)} items; {MAX_ITEMS} at most")
        if isinstance(here, list | dict):
            waiting.extend(here.values() if isinstance(here, dict) else here)
    return document


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise MalformedBodyError(f"a number in the body has {len(digits)} digits; {MAX_DIGITS} at most")
    return int(digits)

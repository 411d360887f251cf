"""The pages for people, the dashboard and the docs, and what a browser may do with them."""

import hashlib
import json
import mimetypes
from functools import cache
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Header, Request, Response, status

from service import ranges
from service.errors import UnknownNameError

router = APIRouter(include_in_schema=False)

FOLDER: Final = Path(__file__).parents[1] / "ui"
POLICY: Final = "; ".join((
    "default-src 'self'",
    # A picture of the API is fetched with its key and shown from memory; Swagger UI draws its arrows from data: addresses.
    "img-src 'self' blob: data:",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
))  # fmt: skip
"""Nothing from elsewhere, nothing inline, in nobody's frame."""
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # To be asked for again, which costs a 304: after an upgrade no page is half old and half new.
    "Cache-Control": "no-cache",
}
_SHOWN: Final = frozenset({".html", ".css", ".js", ".svg"})

Known = Annotated[str | None, Header(alias="If-None-Match")]


@router.get("/")
def dashboard(if_none_match: Known = None) -> Response:
    """The dashboard: one page that speaks to this API as any client does, with the key that is typed into it."""
    return _reply("index.html", if_none_match)


@router.get("/docs")
def docs(if_none_match: Known = None) -> Response:
    """The description of the API, to read and to try out."""
    return _reply("docs.html", if_none_match)


@router.get("/openapi.json")
def description(request: Request, if_none_match: Known = None) -> Response:
    """The description of the API, for programs. FastAPI's own page would make it, and write it out each time, while all others wait."""
    kept = request.app.state
    if not hasattr(kept, "description"):
        kept.description = json.dumps(request.app.openapi()).encode()
    return _sent(kept.description, "application/json", if_none_match)


@router.get("/ui/{name:path}")
def asset(name: str, if_none_match: Known = None) -> Response:
    """A file that one of the pages loads."""
    if name not in names():
        raise UnknownNameError("file of the dashboard")
    return _reply(name, if_none_match)


@cache
def names() -> frozenset[str]:
    """The files that are served, by their path below `FOLDER`; what is not among them is not looked for on the disk."""
    return frozenset(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.suffix in _SHOWN)


def _reply(name: str, if_none_match: str | None) -> Response:
    kind = "text/javascript" if name.endswith(".js") else mimetypes.guess_type(name)[0]
    return _sent((FOLDER / name).read_bytes(), f"{kind}; charset=utf-8", if_none_match)


def _sent(body: bytes, kind: str, if_none_match: str | None) -> Response:
    headers = HEADERS | {"ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"'}
    if ranges.is_known(if_none_match, headers["ETag"]):
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=headers)
    return Response(body, headers=headers, media_type=kind)

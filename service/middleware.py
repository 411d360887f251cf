"""What happens to every request whatever its route: an id, a line in the log, and a Problem where all else failed."""

import re
import time
from http import HTTPStatus
from typing import Final

import structlog
from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contract import ids
from service import auditing, browsers, problems

REQUEST_ID: Final = "X-Request-Id"
_GIVEN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

log = structlog.get_logger("service.access")


class Around:
    """Wraps the application. A plain ASGI layer, so that streams pass through it piece by piece."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        given = request.headers.get(REQUEST_ID, "")
        scope["request_id"] = given if _GIVEN_ID.fullmatch(given) else ids.request()
        with structlog.contextvars.bound_contextvars(request_id=scope["request_id"]):
            await self._answer(request, send)

    async def _answer(self, request: Request, send: Send) -> None:
        began, status = time.monotonic(), 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                _stamp(MutableHeaders(scope=message), request.scope)
                await auditing.note(request, status)
            await send(message)

        try:
            await (_refused(request) or self._app)(request.scope, request.receive, noted)
        except ClientDisconnect:
            log.info("client left", method=request.method, path=request.scope["path"])
        except Exception:
            log.exception("unexpected", method=request.method, path=request.scope["path"])
            if status:
                raise  # half a reply is out: the server must cut the connection, or the client takes it for a whole one
            await problems.unexpected(request)(request.scope, request.receive, noted)
        finally:
            milliseconds = round((time.monotonic() - began) * 1000, 1)
            log.info("request", method=request.method, path=request.scope["path"][:256], status=status, ms=milliseconds)


def _refused(request: Request) -> ASGIApp | None:
    """The reply to a request that must not reach the application; None for one that may."""
    held = getattr(request.app.state, "held", None)
    found = browsers.refusal(request, held.settings) if held else None
    return found and problems.reply(request, HTTPStatus.FORBIDDEN, *found)


def _stamp(headers: MutableHeaders, scope: Scope) -> None:
    headers[REQUEST_ID] = scope["request_id"]
    headers.update(scope.get("reply_headers", {}))
    headers["X-Content-Type-Options"] = "nosniff"
    headers.setdefault("Cache-Control", "no-cache")

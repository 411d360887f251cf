"""How HEAD is answered: by the code that answers GET, without the body (RFC 9110, section 9.3.2)."""

from collections.abc import Iterable
from typing import Final

from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_OF_GET_ALONE: Final = frozenset({b"range", b"if-range"})
"""Headers that mean something to a GET only (RFC 9110, section 14.2)."""


class Headed:
    """Wraps the routes: a HEAD is routed as a GET, and ends once status and headers are told.

    Nothing of a body that comes in pieces is read, so a stream of events tells its headers and is over. `routes` that name HEAD
    themselves answer it themselves: they know a cheaper way.
    """

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        self._app = app
        self._own = [route for route in routes if "HEAD" in (getattr(route, "methods", None) or ())]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD" or self._is_answered_itself(scope):
            await self._app(scope, receive, send)
            return

        async def until_told(message: Message) -> None:
            scope["method"] = "HEAD"  # by which the server knows that no body follows, whatever Content-Length says
            await send(message)
            if message["type"] == "http.response.start":
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                raise _ToldError

        # In place, not in a copy: the layers around look into it for the route, the caller and the limits that were found.
        scope["method"] = "GET"
        scope["headers"] = [(name, value) for name, value in scope["headers"] if name not in _OF_GET_ALONE]
        try:
            await self._app(scope, receive, until_told)
        except _ToldError:
            pass
        finally:
            scope["method"] = "HEAD"

    def _is_answered_itself(self, scope: Scope) -> bool:
        return any(route.matches(scope)[0] is Match.FULL for route in self._own)


class _ToldError(Exception):
    """Everything that HEAD asks for was sent."""

"""What a request passes between the route that was found for it and what answers there: who it is from, and what it asks."""

from collections.abc import Iterable, Iterator
from copy import copy
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from service import callers, parameters


class Door:
    """Wraps what answers a route. A layer rather than dependencies: FastAPI takes longer to resolve two of them than these take."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        await callers.admit(request)
        parameters.assert_known(request)
        await self._app(scope, receive, send)


class Route(APIRoute):
    """A route behind its door, for those that are added to the application itself."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.app = Door(self.app)


def before(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    """The routes, with a door before each that is an operation. Copies: applications of one process share what they are made from."""
    for route in routes:
        guarded = copy(route)
        if isinstance(guarded, APIRoute):
            guarded.app = Door(guarded.app)
        yield guarded

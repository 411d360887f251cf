"""How the HTTP service is put together."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI
from fastapi_offline import FastAPIOffline

from contract import settings as environment
from contract.settings import Settings

_DESCRIPTION = """Post a job spec; get a trained network, its metrics and its checkpoints.

A job that was answered with 201 is kept whatever breaks and ends in exactly one of `succeeded`, `failed` and `cancelled`.
It can be paused and resumed meanwhile. One that has ended never changes: a retry or an extension is a new job, which names its `parent`.
Requests are closed: an unknown field is refused, with the name you may have meant. Replies are open: be ready for new fields.
`HEAD` is answered wherever `GET` is, without the body; of a stream it tells the headers and is over.
Every error is a Problem (RFC 9457) that tells everything that is wrong at once."""


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application; without settings those of the environment, read when it starts. Nothing is opened before that."""
    # Routes and their models are built here rather than when this module is imported: it takes as long as importing FastAPI does.
    from service import access, doors, openapi, problems
    from service.heads import Headed
    from service.hooks import announced
    from service.measures import Measured, Measures
    from service.middleware import Around

    # Of FastAPIOffline the files of Swagger UI; our own page starts it, since theirs needs a script inline.
    app: FastAPI = FastAPIOffline(
        docs_url=None,
        openapi_url="",  # `pages` has it
        title="Ridgeline",
        version="v1",
        description=_DESCRIPTION,
        openapi_tags=openapi.TAGS,
        lifespan=_lifespan,
        redirect_slashes=False,
        redoc_url=None,
    )
    app.state.settings = settings
    app.state.stopping = threading.Event()
    app.state.measures = Measures()
    routers = _routers()
    app.add_middleware(Headed, routes=[route for router in routers for route in router.routes])
    app.add_middleware(Around)
    app.router.route_class = doors.Route
    problems.install(app)
    for router in routers:
        access.assert_complete(router.routes)
        # As one list, which is gone through once for a request; included routers are each gone through twice.
        app.router.routes.extend(doors.before(router.routes))
    access.assert_complete(app.routes)
    announced.announce(app)
    openapi.describe(app)
    app.add_middleware(Measured, measures=app.state.measures)
    return app


def _routers() -> list[APIRouter]:
    """In the order in which their paths are tried."""
    from service.routes import (
        actions,
        api_keys,
        audit_events,
        batch,
        capabilities,
        checkpoints,
        compare,
        datasets,
        deliveries,
        events,
        fine_tuning,
        health,
        jobs,
        kept,
        logs,
        metrics,
        pages,
        plots,
        prometheus,
        queue,
        quota,
        results,
        webhooks,
    )

    modules = (
        batch,  # before `jobs`, which would take its paths for ids
        jobs,
        actions,
        compare,
        events,
        metrics,
        logs,
        results,
        checkpoints,
        kept,
        datasets,
        plots,
        webhooks,
        deliveries,
        fine_tuning,
        capabilities,
        queue,
        health,
        api_keys,
        audit_events,
        quota,
        prometheus,
        pages,
    )
    return [module.router for module in modules]


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    from service import state

    with state.opened(app.state.settings or environment.current(), app.state.stopping) as app.state.held:
        yield


def __getattr__(name: str) -> FastAPI:
    """`service.app:app`, as uvicorn and gunicorn name it: the application with the environment's settings, made when asked for."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    app = globals()["app"] = create_app()
    return app

"""A real service over real HTTP in a thread of this process, for tests of what commands do to one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from structlog.testing import capture_logs

from contract.settings import Settings
from service.app import create_app


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """The URL of a service of these settings, at a port of its own."""
    ready = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: object = None) -> None:
            await super().startup()
            ready.set()

    server = Server(uvicorn.Config(create_app(settings), port=0, log_config=None))
    thread = threading.Thread(target=server.run, daemon=True)
    with capture_logs():  # the service's lines would stand on the stdout of the commands
        thread.start()
        assert ready.wait(120)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        server.should_exit = True
        thread.join(60)

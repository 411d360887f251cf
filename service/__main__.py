"""`python -m service` serves HTTP from this process, as the RIDGELINE_ variables say."""

import gc
import socket
import sys

import uvicorn
from pydantic import ValidationError

from contract import objects
from contract import settings as environment
from contract.errors import ConfigurationError, OperatorError
from contract.settings import Settings, is_loopback
from contract.store import Store, keys, schema
from service import logs
from service.app import create_app
from service.protocol import Protocol

GRACE_SECONDS = 2
"""How long replies under way may take once the process is asked to end."""
SWITCH_SECONDS = 0.001
"""How long one thread may keep the interpreter from the others. A request needs it several times over, so that behind one that takes long
to refuse, each of Python's own 5 ms would count several times."""


class Server(uvicorn.Server):
    """uvicorn, with two words more: where it listens, and to the streams that it is about to stop."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        app = create_app(settings)
        super().__init__(
            uvicorn.Config(
                app,
                http=Protocol,
                lifespan="on",
                log_config=None,
                log_level=settings.log_level,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        self._stopping = app.state.stopping
        self._address = _shown(settings.host, listener)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's; then tells on stdout where it listens, for whoever started it to wait for."""
        await super().startup(sockets)
        if self.started:
            sys.stdout.write(f"listening http://{self._address}\n")
            sys.stdout.flush()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, which waits for replies under way; first ends those that have no end of their own."""
        # Before uvicorn waits for open replies: an event stream has no end of its own.
        self._stopping.set()
        await super().shutdown(sockets)


def main() -> int:
    """Serve until asked to end. 2 for settings that cannot be, 1 for a port or a database that is not to be had."""
    try:
        settings = environment.current()
        assert_private(settings)
        objects.opened(settings)
        listener = bound(settings)
        _assert_usable(settings)
    except ValidationError as error:
        return _refused(2, "; ".join(f"RIDGELINE_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors()))
    except ConfigurationError as error:
        return _refused(2, str(error))
    except OperatorError as error:
        return _refused(1, str(error))
    logs.configure(settings.log_level)
    sys.setswitchinterval(SWITCH_SECONDS)
    server = Server(settings, listener)
    gc.collect()
    gc.freeze()  # what was loaded stays for good: to look for garbage in it would keep every request waiting for a tenth of a second
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        return 130
    return 0


def assert_private(settings: Settings) -> None:
    """Raises ConfigurationError for an address that others can reach without a key."""
    if not settings.has_keys and not is_loopback(settings.host):
        raise ConfigurationError(
            f"RIDGELINE_HOST is {settings.host}, which others can reach, and RIDGELINE_AUTH is off, which is for loopback only; "
            "set RIDGELINE_AUTH=keys, or use 127.0.0.1"
        )


def bound(settings: Settings) -> socket.socket:
    """A socket on the address of the settings. Raises OperatorError where it is taken or not ours."""
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        raise OperatorError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror}; "
            "stop what listens there, or set RIDGELINE_PORT to another port (0 takes a free one)"
        ) from error
    # Connections have it from here: asyncio sets it only on those whose protocol number says TCP, which create_server leaves at 0. Without it
    # a reply's body waits for the receipt of its head, which clients put off for 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _assert_usable(settings: Settings) -> None:
    """Raises OperatorError for a database at another schema, ConfigurationError where keys are asked for and nobody can have one."""
    store = Store(settings.database_url)
    try:
        schema.assert_current(store)
        if settings.has_keys and settings.admin_key is None and not keys.is_any_active(store):
            raise ConfigurationError(
                f"the API on {settings.host} asks for API keys and there is none: set RIDGELINE_ADMIN_KEY to a secret of 32 characters "
                "or more (openssl rand -hex 32), or make a key with python -m service.api_keys create --admin NAME"
            )
    finally:
        store.close()


def _shown(host: str, listener: socket.socket) -> str:
    port = listener.getsockname()[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _refused(code: int, why: str) -> int:
    sys.stderr.write(f"{why}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())

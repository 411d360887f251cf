"""Which address the API may listen on, and whether it is free."""

import os
import socket
from ipaddress import ip_address

from client.errors import StackError


def assert_allowed(host: str) -> None:
    """Raises StackError for an address that others can reach where nothing says that API keys are asked for."""
    if _is_loopback(host) or os.environ.get("RIDGELINE_ADMIN_KEY") or os.environ.get("RIDGELINE_AUTH", "").lower() == "keys":
        return
    raise StackError(
        f"{host} can be reached from other machines, and nobody has an API key; set RIDGELINE_ADMIN_KEY to a secret of 32 characters "
        "or more, as `openssl rand -hex 32` makes (or RIDGELINE_AUTH=keys, if there are keys already), or keep --host 127.0.0.1"
    )


def claim(host: str, port: int) -> int:
    """The port, or a free one for 0, after a try that it can be listened on. Raises StackError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, kind, protocol) as probe:
            # As uvicorn does: a port whose last connections are still closing is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
            return int(probe.getsockname()[1])
    except socket.gaierror as error:
        raise StackError(f"{host} is no address of this machine: {error.strerror}") from error
    except OSError as error:
        raise StackError(
            f"port {port} on {host} cannot be used: {error.strerror}; choose another with --port, or a free one with --port 0"
        ) from error


def url(host: str, port: int) -> str:
    """Where a client on this machine reaches a server that listens there."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - looked for, not bound to
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False

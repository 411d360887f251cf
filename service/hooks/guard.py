"""Which address a webhook may be posted to: a public one, over https, under a name that every reader of a URL takes for the same.

A URL is given by a tenant and called from inside the operator's network (server-side request forgery). So the grammar is closed,
the name is resolved once for each attempt, every address that comes of it must be public, and `post` connects to those addresses
and no others: a name that changes its mind between the check and the call (DNS rebinding) changes nothing.
"""

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Sequence[str]]
"""The addresses of a name, as text. Raises OSError where it has none."""

MAX_LENGTH: Final = 2048
_FIRST_FREE_PORT: Final = 1024
_LAST_PORT: Final = 65_535
_PLAIN: Final = re.compile(r"[!-~]+")
_URL: Final = re.compile(r"(https?)://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?([/?].*)?", re.IGNORECASE)
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_LIKE_A_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""Such a last label makes some readers take the whole host for an address, however the rest of it is written."""

# Beyond what `is_global` says, whose list ages with Python: ranges in which an IPv4 address hides, and what is nobody's.
_NEVER_PUBLIC: Final = tuple(
    ipaddress.ip_network(block) for block in ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2002::/16", "3fff::/20")
)
_GLOBAL_UNICAST: Final = ipaddress.ip_network("2000::/3")
"""Outside of it are IPv4 addresses in IPv6 (mapped, compatible, NAT64), unique local, link-local, site-local and multicast ones."""
_PRIVATE: Final = tuple(
    ipaddress.ip_network(block)
    for block in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "::1/128", "fc00::/7")
)
_METADATA: Final = frozenset(map(ipaddress.ip_address, ("100.100.100.200", "fd00:ec2::254", "fd20:ce::254")))
"""Where clouds tell a machine its credentials, in ranges that an operator may allow; the others of them are link-local."""


class RefusedError(ValueError):
    """A webhook may not lead there. `code` is stable; the message says why and what would do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect, and what to say there."""

    scheme: str
    host: str
    """As in the Host header, the TLS handshake and the check of the certificate."""
    port: int
    path: str
    """With the query."""
    addresses: tuple[Address, ...]
    """The only ones to connect to."""


def resolved(host: str, port: int) -> list[str]:
    """The addresses that this machine's resolver gives."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def check(url: str, *, allow_private: bool = False, resolve: Resolve = resolved) -> Target:
    """What `url` leads to now. Raises RefusedError where a webhook may not lead there."""
    scheme, host, port, path = _read(url)
    if port != 443 and not _FIRST_FREE_PORT <= port <= _LAST_PORT and not (allow_private and port == 80):
        raise RefusedError("port_not_allowed", "the port must be 443, or one from 1024 to 65535")
    addresses = tuple(dict.fromkeys(_addresses(host, port, resolve)))
    if not addresses or not all(is_public(address) or (allow_private and is_private(address)) for address in addresses):
        # One message for both: to tell them apart would tell a stranger which names there are inside.
        raise RefusedError("address_not_public", "the host has no address, or one that is not public; use a host of the Internet")
    if scheme == "http" and not (allow_private and all(address.is_loopback for address in addresses)):
        raise RefusedError("https_required", "the URL must begin with https://, so that nobody on the way reads or changes messages")
    return Target(scheme, host.strip("[]"), port, path, addresses)


def is_public(address: Address) -> bool:
    """Whether it is a host's of the Internet, and cannot be another address in disguise."""
    if address.version == 6 and address not in _GLOBAL_UNICAST:
        return False
    hidden = any(address in block for block in _NEVER_PUBLIC if block.version == address.version)
    return address.is_global and not address.is_multicast and not address.is_reserved and not hidden


def is_private(address: Address) -> bool:
    """Whether it is this machine's or a private network's, which an operator may allow. Never link-local, never a cloud's metadata."""
    return address not in _METADATA and any(address in block for block in _PRIVATE if block.version == address.version)


def _read(url: str) -> tuple[str, str, int, str]:
    if len(url) > MAX_LENGTH:
        raise RefusedError("too_long", f"a URL has {MAX_LENGTH} characters at most")
    if not _PLAIN.fullmatch(url) or "\\" in url:
        raise RefusedError(
            "bad_url", "a URL is printable ASCII without spaces and backslashes; write other hosts as xn--… and the rest as %XX"
        )
    authority = url.partition("://")[2].partition("/")[0].partition("?")[0].partition("#")[0]
    if "@" in authority:
        raise RefusedError("credentials_in_url", "a URL may not hold a user name or password; messages are signed instead")
    if "#" in url:
        raise RefusedError("bad_url", "what follows a # is never sent; leave it out")
    match = _URL.fullmatch(url)
    if match is None:
        raise RefusedError("bad_url", "this is no URL of a web server; one looks like https://example.com/hooks")
    scheme, host, port, path = match.groups()
    scheme, host, path = scheme.lower(), host.lower(), path or "/"
    _assert_host(host)
    number = int(port) if port else 443 if scheme == "https" else 80
    return scheme, host, number, path if path.startswith("/") else f"/{path}"


def _assert_host(host: str) -> None:
    if host.startswith("[") or _literal(host) is not None:
        return
    labels = host.split(".")
    if _LIKE_A_NUMBER.fullmatch(labels[-1]):
        raise RefusedError("bad_host", "the host is an address in an unusual form; write it as four decimal numbers, or use its name")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise RefusedError("bad_host", "the host is no name of a host; one looks like example.com")


def _addresses(host: str, port: int, resolve: Resolve) -> list[Address]:
    if host.startswith("["):
        literal = _literal(host[1:-1])
        if literal is None or literal.version != 6:
            raise RefusedError("bad_host", "what stands in [ ] is no IPv6 address")
        return [literal]
    if literal := _literal(host):
        return [literal]
    try:
        found = [_literal(text) for text in resolve(host, port)]
    except (OSError, UnicodeError):
        return []
    # One that cannot be read, as a link-local one with its zone, is no public one.
    return [address if address is not None else ipaddress.IPv6Address(0) for address in found]


def _literal(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None

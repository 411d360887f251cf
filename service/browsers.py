"""Which requests are not heard while there are no keys: those that a page on the internet has a browser on this machine send.

Such a page cannot read what this service answers, unless its name is made to lead here (DNS rebinding): hence the Host. And it
cannot set a type that a browser asks about first, but some routes need no body: hence where the request was sent from.
"""

from functools import lru_cache
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from fastapi import Request

from contract.settings import Settings, is_loopback

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def refusal(request: Request, settings: Settings) -> tuple[str, str] | None:
    """Code and reason where the request is not to be heard; None where it is."""
    if settings.has_keys:
        return None  # a key is sent by nobody who does not have it
    if _is_reached_from_outside(request):
        return "keys_needed", "without API keys this service answers on loopback only; set RIDGELINE_AUTH=keys to answer here"
    host = request.headers.get("host", "")
    if not _is_ours(_name(host), request, settings):
        return "host_not_allowed", "this service does not go by the name in the header Host; RIDGELINE_ALLOWED_HOSTS can name more"
    if request.method not in _SAFE and _is_sent_from_elsewhere(request, host, settings):
        return "cross_site", "a page of another site sent this; only pages of this service may change something here"
    return None


def _is_reached_from_outside(request: Request) -> bool:
    """Whether the connection came in at another address than loopback, whatever the settings say we listen on."""
    return _is_outside((request.scope.get("server") or ("", None))[0])


@lru_cache(maxsize=256)
def _is_outside(address: str) -> bool:
    try:
        return not ip_address(address).is_loopback
    except ValueError:
        return False  # a unix socket, or no network at all


def _is_ours(name: str, request: Request, settings: Settings) -> bool:
    reached_at = (request.scope.get("server") or ("", None))[0]
    return is_loopback(name) or (name != "" and name == reached_at) or name in settings.names


def _is_sent_from_elsewhere(request: Request, host: str, settings: Settings) -> bool:
    """By the browser's own word, which a page cannot change; an older one tells the origin alone, a program neither."""
    origin = request.headers.get("origin")
    if origin is not None and _name(_netloc(origin)) in settings.names:
        return False
    if site := request.headers.get("sec-fetch-site"):
        return site not in {"same-origin", "none"}
    return origin is not None and _netloc(origin) != host.lower()


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


@lru_cache(maxsize=256)
def _name(host: str) -> str:
    """The host without its port; empty where it is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""

"""Who a request comes from, and whether it is let in."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from contract.settings import Settings
from contract.store import Store, keys
from contract.store.keys import Scope
from service import access, rates
from service.errors import ForbiddenError, UnauthenticatedError

DEFAULT_TENANT: Final = "default"


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose request this is."""

    tenant: str
    key_id: str | None
    """None where there are no keys."""
    scopes: frozenset[Scope]
    is_operator: bool = False
    """Whether they may look after every tenant."""

    def may(self, scope: Scope) -> bool:
        """Whether they have the scope; who has `admin` has each."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


ANYBODY: Final = Caller(DEFAULT_TENANT, None, frozenset(Scope), is_operator=True)
"""Whoever reaches a service without keys: that is somebody on the same machine."""
OPERATOR: Final = Caller(DEFAULT_TENANT, "operator", frozenset(Scope), is_operator=True)
"""Whoever knows RIDGELINE_ADMIN_KEY."""


class Gate:
    """What a process knows of those who come in: the operator's key as a digest, and how often each has asked."""

    def __init__(self, settings: Settings) -> None:
        self.has_keys = settings.has_keys
        self._admin = None if settings.admin_key is None else _digest(settings.admin_key.get_secret_value())
        self._requests = rates.Limiter(settings.rate_limit)
        # What nobody was let in for is written down, but a flood of it must not fill the database.
        self.refusals = rates.Limiter("60/minute")

    def is_operator(self, secret: str) -> bool:
        """Whether this is RIDGELINE_ADMIN_KEY; takes as long for a wrong secret as for the right one."""
        return self._admin is not None and hmac.compare_digest(self._admin, _digest(secret))

    def spend(self, request: Request, who: str) -> None:
        """Count a request. Raises RateLimitedError where there were too many."""
        request.scope["reply_headers"] = self._requests.headers(who)
        self._requests.spend(who)
        request.scope["reply_headers"] = self._requests.headers(who)


async def admit(request: Request) -> None:
    """Let a request in, or raise UnauthenticatedError, ForbiddenError or RateLimitedError. The first thing done for every route."""
    needed = access.NEEDED[access.name(request.scope["route"])]
    if needed is access.PUBLIC:
        return
    gate: Gate = request.app.state.held.gate
    caller = await _caller(request, gate) if gate.has_keys else ANYBODY
    request.scope["caller"] = caller
    gate.spend(request, caller.key_id or _address(request))
    if not caller.may(needed):
        raise ForbiddenError(
            f"this needs the scope {needed.value}, which your key does not have; ask an admin for a key that has it", needed
        )


async def _caller(request: Request, gate: Gate) -> Caller:
    try:
        secret = _secret(request)
        if gate.is_operator(secret):
            return OPERATOR
        return await run_in_threadpool(_holder, request, request.app.state.held.store, secret)
    except UnauthenticatedError:
        gate.spend(request, _address(request))  # whoever tries keys is slowed down as well
        raise


def _secret(request: Request) -> str:
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise UnauthenticatedError("this needs an API key; send the header Authorization: Bearer rk_...")
    return secret.strip()


def _holder(request: Request, store: Store, secret: str) -> Caller:
    found = keys.of_secret(store, secret)
    if found is None:
        raise UnauthenticatedError("there is no such API key; take the whole of it, as it was shown when it was made")
    key, now = found
    request.scope["known_key"] = key
    if key.revoked_at is not None:
        raise UnauthenticatedError(f"the API key {key.id} was revoked; ask an admin for another")
    if key.is_expired(now):
        raise UnauthenticatedError(f"the API key {key.id} has expired; ask an admin for another")
    keys.used(store, key, now)
    return Caller(key.tenant, key.id, frozenset(key.scopes))


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()

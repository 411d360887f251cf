"""Which requests are written down: those that a key let in to change something, and those that were refused for their sender."""

from typing import Final

import structlog
from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from contract.errors import OperatorError
from contract.store import audit
from contract.store.audit import Deed
from service import access
from service.callers import Gate
from service.errors import RateLimitedError

REFUSED: Final = "authentication_refused"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})

log = structlog.get_logger(__name__)


async def note(request: Request, status: int) -> None:
    """Write down the request that is about to be answered with `status`, if it is one to be written down.

    Before the answer is sent, so that whoever has it finds the deed. Where that fails it is logged: the deed itself is done.
    """
    deed = _deed(request, status)
    if deed is None:
        return
    try:
        await run_in_threadpool(audit.record, request.app.state.held.store, deed)
    except OperatorError as error:
        log.error("not written down", error=str(error), action=deed.action, key=deed.key_id, status=status)


def _deed(request: Request, status: int) -> Deed | None:
    held = getattr(request.app.state, "held", None)
    if held is None or not held.gate.has_keys or "route" not in request.scope:
        return None
    if caller := request.scope.get("caller"):
        if request.method in _SAFE:
            return None
        return _made(request, caller.tenant, caller.key_id, access.name(request.scope["route"]), status)
    if status != 401 or not _has_room(held.gate):
        return None
    key = request.scope.get("known_key")
    return _made(request, key and key.tenant, key and key.id, REFUSED, status)


def _has_room(gate: Gate) -> bool:
    try:
        gate.refusals.spend("")
    except RateLimitedError:
        return False
    return True


def _made(request: Request, tenant: str | None, key_id: str | None, action: str, status: int) -> Deed:
    target = request.scope["path"].encode("ascii", "replace").decode().replace("\0", "?")[:256]
    ip = request.client.host[:64] if request.client else None
    return Deed(tenant, key_id, action, request.method[:16], target, status, request.scope["request_id"], ip)

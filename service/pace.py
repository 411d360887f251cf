"""How slowly the body of a request may come: who holds a connection has to use it."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import Request

from contract.settings import Settings
from service.errors import BodyTooSlowError


async def pieces(request: Request, settings: Settings) -> AsyncIterator[bytes]:
    """The body as it comes in. Raises BodyTooSlowError once it has been waited for longer than `settings` allow for its length so far.

    Only waiting counts: a disk of ours that is slow is not the client's fault.
    """
    loop, stream = asyncio.get_running_loop(), aiter(request.stream())
    size, waited = 0, 0.0
    while True:
        allowed = settings.body_seconds + size / settings.body_bytes_per_second
        began = loop.time()
        try:
            async with asyncio.timeout(allowed - waited):
                piece = await anext(stream, None)
        except TimeoutError:
            raise BodyTooSlowError(
                f"{size:,} bytes of the body came in {allowed:.0f} seconds; send it faster than {settings.body_bytes_per_second:,} bytes a second"
            ) from None
        waited += loop.time() - began
        if piece is None:
            return
        size += len(piece)
        yield piece

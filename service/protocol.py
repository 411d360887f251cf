"""What a connection may do that no application sees: bytes that are no HTTP, no bytes at all, and those that nobody wants any more."""

import asyncio
import re
from typing import Any, ClassVar, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from contract import ids
from service import problems

FREE_CHUNKS: Final = 256
CHUNK_BYTES: Final = 512
"""How small the chunks of a body may be on average, beyond the first `FREE_CHUNKS`: each costs as much to read as a hundred kilobytes."""
_CRUMBS: Final = f"the chunks of the body have fewer than {CHUNK_BYTES} bytes on average; send larger ones, or its Content-Length"
_NO_HTTP: Final = "the bytes that came are no HTTP/1.1 request that can be read; check what stands between"
_TWO_LENGTHS: Final = "both Content-Length and Transfer-Encoding say where the body ends; send one of them"
_ABSOLUTE: Final = re.compile(rb"https?://([^/?#]+)([^#]*).*", re.IGNORECASE)
_NOT_ANSWERING: Final = (h11.IDLE, h11.DONE)


class Protocol(H11Protocol):
    """uvicorn's own, but for a Problem where it would answer with a line of text, and for clients that waste a connection."""

    head_seconds: ClassVar = 20.0
    """How long a connection may be open without a whole request: it is closed by twice as long."""
    leftover_bytes: ClassVar = 16 * 1024**2
    """How much of a body still comes in once it was answered, so that a client that sends first and reads then hears why it was refused."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        limit = self.config.h11_max_incomplete_event_size
        self.conn: _Connection = _Connection(h11.SERVER, **({} if limit is None else {"max_incomplete_event_size": limit}))
        self._watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As uvicorn's; from now on a request has to come."""
        super().connection_made(transport)
        self._look(heard=-1)

    def connection_lost(self, exc: Exception | None) -> None:
        """As uvicorn's; nothing is waited for any more."""
        if self._watch:
            self._watch.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """As uvicorn's, but for what comes after a reply that did not wait for the whole body: of that so much is passed over, then the
        connection is cut."""
        if self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY:
            self.conn.leftover += len(data)
            if self.conn.leftover > self.leftover_bytes:
                self.transport.close()
                return
        super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP with a Problem, as everything else is; cut the connection where a reply is under way."""
        if self.conn.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            # A reply is on its way already: what would be sent now, its reader would take for a part of it.
            self.transport.close()
            return
        request_id = ids.request()
        body = _problem(self.conn.fault or f"{msg.rstrip('.')}: {_NO_HTTP}", request_id)
        headers = [
            ("content-type", problems.MEDIA_TYPE),
            ("content-length", str(len(body))),
            ("connection", "close"),
            ("x-request-id", request_id),
        ]
        response = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _look(self, heard: int) -> None:
        """Close the connection if no request has begun since the last look, when `heard` had, and none is being answered.

        uvicorn waits for the next request for some seconds, but for the first, and for one that has begun, as long as it takes.
        """
        if heard == self.conn.requests and self.conn.our_state in _NOT_ANSWERING:
            self.transport.close()
            return
        self._watch = self.loop.call_later(self.head_seconds, self._look, self.conn.requests)


class _Connection(h11.Connection):
    """Counts what comes in. Raises RemoteProtocolError for a body that is cut into crumbs."""

    requests = 0
    leftover = 0
    """Bytes that came of this request's body after it was answered."""
    fault = ""
    """What is wrong with what came, where it is not that it is no HTTP."""
    _chunks = 0
    _bytes = 0

    def next_event(self) -> Any:
        event = super().next_event()
        match event:
            case h11.Request():
                self.requests += 1
                self.leftover = self._chunks = self._bytes = 0
                if {b"content-length", b"transfer-encoding"} <= {name for name, _ in event.headers}:
                    # A proxy in front may believe the other one, and take the rest of the body for somebody's next request.
                    self.fault = _TWO_LENGTHS
                    raise h11.RemoteProtocolError(_TWO_LENGTHS)
                return _to_origin(event)
            case h11.Data():
                self._chunks += event.chunk_start
                self._bytes += len(event.data)
                if self._chunks > FREE_CHUNKS + self._bytes / CHUNK_BYTES:
                    self.fault = _CRUMBS
                    raise h11.RemoteProtocolError(_CRUMBS)
        return event


def _to_origin(request: h11.Request) -> h11.Request:
    """The request as it comes without a proxy, where it names the whole address (RFC 9112, 3.2.2): that goes before its Host."""
    named = _ABSOLUTE.fullmatch(request.target)
    if named is None:
        return request
    host, target = named.groups()
    headers = [(b"host", host), *((name, value) for name, value in request.headers if name != b"host")]
    target = target if target.startswith(b"/") else b"/" + target
    return h11.Request(method=request.method, headers=headers, target=target, http_version=request.http_version)


def _problem(detail: str, request_id: str) -> bytes:
    return (
        problems.Problem(
            type="urn:ridgeline:problem:malformed_request",
            title="Bad Request",
            status=400,
            code="malformed_request",
            detail=detail,
            instance="",
            request_id=request_id,
        )
        .model_dump_json(exclude={"message"})
        .encode()
    )

"""What a client hears whose bytes are no HTTP at all: a Problem too, where the server would answer with a line of text."""

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from contract import ids
from service import errors


class Protocol(H11Protocol):
    """uvicorn's own, but for this one reply, which no application ever sees."""

    def send_400_response(self, msg: str) -> None:
        if self.conn.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            # A reply is on its way already: what would be sent now, its reader would take for a part of it.
            self.transport.close()
            return
        request_id = ids.request()
        body = _problem(msg, request_id)
        headers = [
            ("content-type", errors.MEDIA_TYPE),
            ("content-length", str(len(body))),
            ("connection", "close"),
            ("x-request-id", request_id),
        ]
        response = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def _problem(message: str, request_id: str) -> bytes:
    return (
        errors.Problem(
            type="urn:ridgeline:problem:malformed_request",
            title="Bad Request",
            status=400,
            code="malformed_request",
            detail=f"{message.rstrip('.')}: the bytes that came are no HTTP/1.1 request that can be read; check what stands between",
            instance="",
            request_id=request_id,
        )
        .model_dump_json()
        .encode()
    )

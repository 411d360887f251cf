"""How the events of a job are heard to the end, however often the connection breaks."""

import json
from collections.abc import Iterator
from typing import Final

import httpx
from httpx_sse import SSEError, connect_sse

from client.errors import ApiError
from client.wire import Json, Wire, backoff, refusal, retry_after
from contract.job import TERMINAL

# Longer than the pause between two heartbeats of the server: silence beyond it means a dead connection.
_SILENCE: Final = httpx.Timeout(60.0, connect=5.0)


def events(wire: Wire, job_id: str, after: int, patience_seconds: float) -> Iterator[Json]:
    """Each durable event above seq `after` exactly once and in order, ending with the one that ends the job.

    Between them come `metrics` events, which have no seq and are not said again after a break. Where the server does not know `after`,
    or forgot what it had said, one of type `resync` comes first and then the whole history anew. `patience_seconds` is how long
    to try to connect again before ServerUnreachable is raised; any event heard renews it.
    """
    last, was_over = after, False
    delays = backoff(patience_seconds)
    while True:
        heard = False
        try:
            for event in _connected(wire, job_id, last):
                if event["type"] == "resync":
                    last = event["data"]["from_seq"] - 1
                elif event["seq"] is not None:
                    if event["seq"] <= last:
                        continue
                    last, heard = event["seq"], True
                    delays = backoff(patience_seconds)
                yield event
                if is_end(event):
                    return
        except httpx.TransportError as error:
            wire.pause(delays, wire.unreachable(error))
            continue
        except _BusyError as busy:
            wire.pause(delays, busy.error, busy.retry_after)
            continue
        # A stream that ends of itself without the last event was cut by a server shutting down, or begun after that event.
        if was_over and not heard:
            return
        was_over = wire.json("GET", f"/v1/jobs/{job_id}")["status"] in TERMINAL
        if not was_over:
            wire.pause(delays, ApiError(503, "stream_ended", f"the event stream of {job_id} keeps ending before the job does"))


def is_end(event: Json) -> bool:
    """Whether the event says that the job is over."""
    return event["type"] == "status" and event["data"].get("to") in TERMINAL


class _BusyError(Exception):
    def __init__(self, error: ApiError, retry_after: float | None) -> None:
        self.error = error
        self.retry_after = retry_after


def _connected(wire: Wire, job_id: str, last: int) -> Iterator[Json]:
    headers = {"Last-Event-ID": str(last)}
    with connect_sse(wire.http, "GET", f"/v1/jobs/{job_id}/events", headers=headers, timeout=_SILENCE) as source:
        if not source.response.is_success:
            source.response.read()
            raise _BusyError(refusal(source.response), retry_after(source.response))
        try:
            for frame in source.iter_sse():
                # The decoder repeats the last id on frames that have none, so the seq is read from the document itself.
                if frame.data:
                    yield _document(frame.event, json.loads(frame.data))
        except SSEError as error:
            raise ApiError(source.response.status_code, "not_ridgeline", f"{wire.url} gives no event stream: {error}") from error


def _document(kind: str, data: Json) -> Json:
    """Metrics and a resync in the shape of the durable events, so that a reader has one shape to know."""
    if kind not in {"metrics", "resync"}:
        return data
    return {"object": "training.event", "seq": None, "type": kind, "data": data}

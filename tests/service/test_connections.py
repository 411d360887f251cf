"""What becomes of clients that waste a connection: over a real one, to a server in this process."""

import asyncio
import json
import logging
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from contract.settings import Settings
from contract.store import Store, quotas
from service import protocol
from service.__main__ import Server, bound
from tests.uploading import npz

pytestmark = pytest.mark.anyio

SMALL = b'{"dataset": {"kind": "fake"}, "name": "' + b"x" * 150 + b'"}'
UPLOAD = npz(rows=3000)
BODIES = {"job": ("/v1/jobs", "application/json", SMALL), "data set": ("/v1/datasets", "application/octet-stream", UPLOAD)}


@asynccontextmanager
async def listening(settings: Settings, **changes: Any) -> AsyncIterator[int]:
    """The port of the service as it is run, but for these settings."""
    changed = settings.model_copy(update={"port": 0, **changes})
    listener = bound(changed)
    server = Server(changed, listener)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await serving


class Wire:
    """A connection of a client that knows no manners."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    async def send(self, *pieces: bytes, pause: float = 0.0) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(pause)

    async def reply(self) -> tuple[int, dict[str, str], Any]:
        status, headers = await self.head()
        body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        return status, headers, json.loads(body or b"null")

    async def head(self) -> tuple[int, dict[str, str]]:
        """Of a reply: all there is of one to a HEAD."""
        head = (await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), 60)).decode()
        headers = {name.lower(): value for name, value in re.findall(r"^([^:\r\n]+): (.*)\r$", head, re.MULTILINE)}
        return int(head.split()[1]), headers

    async def status(self) -> int:
        """Of a reply without a body."""
        return int((await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), 60)).split()[1])

    async def is_closed(self) -> bool:
        """Once it is, or after a minute."""
        try:
            return await asyncio.wait_for(self._reader.read(), 60) == b""
        except ConnectionError:
            return True


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()


def test_the_body_of_a_reply_waits_for_no_receipt_of_its_head(settings: Settings) -> None:
    with bound(settings.model_copy(update={"port": 0})) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


def head(path: str, kind: str, length: int | None, method: str = "POST") -> bytes:
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n{framing}\r\n\r\n".encode()


async def whole(port: int, path: str, kind: str, body: bytes) -> tuple[int, Any]:
    """The same, sent as it should be."""
    async with connected(port) as wire:
        await wire.send(head(path, kind, len(body)) + body)
        status, _, told = await wire.reply()
        return status, told


def left_behind(settings: Settings, store: Store) -> tuple[int, int, int]:
    """Jobs queued, bytes stored, files in the scratch folder."""
    used = quotas.used(store, "default")
    uploads = settings.scratch_folder / "uploads"
    return used.queued_jobs, used.stored_bytes, len([*uploads.rglob("*")]) if uploads.exists() else 0


@pytest.mark.parametrize("what", BODIES)
async def test_a_body_that_stays_away_is_a_408_and_leaves_nothing(settings: Settings, sqlite_store: Store, what: str) -> None:
    path, kind, body = BODIES[what]
    async with listening(settings, body_seconds=0.3, body_bytes_per_second=2**30) as port:
        async with connected(port) as wire:
            await wire.send(head(path, kind, len(body)), body[: len(body) // 2])
            status, headers, problem = await wire.reply()
            assert (status, problem["code"], headers["content-type"]) == (408, "body_too_slow", "application/problem+json")
            assert headers["connection"] == "close"
            assert await wire.is_closed()
        assert left_behind(settings, sqlite_store) == (0, 0, 0)
        assert (await whole(port, path, kind, body))[0] == 201


async def test_a_byte_now_and_then_does_not_keep_a_request_alive(settings: Settings, sqlite_store: Store) -> None:
    path, kind, body = BODIES["job"]
    async with listening(settings, body_seconds=1.0, body_bytes_per_second=2**30) as port, connected(port) as wire:
        await wire.send(head(path, kind, len(body)))
        dripping = asyncio.create_task(wire.send(*(body[i : i + 1] for i in range(len(body))), pause=0.05))
        assert (await wire.reply())[0] == 408
        dripping.cancel()


async def test_a_body_that_comes_steadily_may_take_longer(settings: Settings, sqlite_store: Store) -> None:
    path, kind, body = BODIES["job"]
    async with listening(settings, body_seconds=0.2, body_bytes_per_second=1) as port, connected(port) as wire:
        await wire.send(head(path, kind, len(body)) + body[:-1], pause=0.6)
        await wire.send(body[-1:])
        assert (await wire.reply())[0] == 201


@pytest.mark.parametrize("what", BODIES)
async def test_a_client_that_leaves_in_the_middle_leaves_nothing_and_can_come_back(
    settings: Settings, sqlite_store: Store, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    path, kind, body = BODIES[what]
    caplog.set_level(logging.INFO)
    async with listening(settings) as port:
        async with connected(port) as wire:
            await wire.send(head(path, kind, len(body)), body[: len(body) // 2])
            await until(lambda: what == "job" or left_behind(settings, sqlite_store)[2] > 0)
        await until(lambda: "client left" in caplog.text)
        assert left_behind(settings, sqlite_store) == (0, 0, 0)
        assert "Traceback" not in caplog.text
        # A bell may still be rung by what an earlier test left.
        assert not [record for record in caplog.records if record.levelno >= logging.WARNING and record.name != "contract.queue"]
        assert (await whole(port, path, kind, body))[0] == 201
        assert [found > 0 for found in left_behind(settings, sqlite_store)] == [what == "job", what == "data set", False]


async def test_a_body_shorter_than_it_says_is_never_taken_for_a_whole_one(settings: Settings, sqlite_store: Store) -> None:
    async with listening(settings) as port:
        for path, kind, body in BODIES.values():
            async with connected(port) as wire:
                await wire.send(head(path, kind, len(body) + 1) + body)
                wire.writer.write_eof()
                assert await wire.is_closed()
        assert left_behind(settings, sqlite_store) == (0, 0, 0)


async def test_what_follows_a_body_longer_than_it_says_is_a_problem_of_its_own(settings: Settings, sqlite_store: Store) -> None:
    path, kind, body = BODIES["job"]
    async with listening(settings) as port, connected(port) as wire:
        await wire.send(head(path, kind, len(body)) + body + b"}}}\r\n\r\n")
        assert (await wire.reply())[0] == 201
        status, _, problem = await wire.reply()
        assert (status, problem["code"]) == (400, "malformed_request")
        assert await wire.is_closed()


@pytest.mark.parametrize(
    "sent", [b"", b"GET /hea", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: "], ids=["nothing", "a line", "a head"]
)
async def test_a_connection_without_a_whole_request_is_closed(
    settings: Settings, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(protocol.Protocol, "head_seconds", 0.3)
    async with listening(settings) as port, connected(port) as wire:
        await wire.send(sent)
        assert await wire.is_closed()


async def test_a_connection_is_closed_that_says_half_a_request_after_a_whole_one(
    settings: Settings, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol.Protocol, "head_seconds", 0.3)
    async with listening(settings) as port, connected(port) as wire:
        await wire.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await wire.reply())[0] == 200
        await wire.send(b"GET /healthz HT")
        assert await wire.is_closed()


async def test_a_request_that_is_being_answered_is_not_cut(
    settings: Settings, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, kind, body = BODIES["job"]
    monkeypatch.setattr(protocol.Protocol, "head_seconds", 0.1)
    async with listening(settings) as port, connected(port) as wire:
        await wire.send(head(path, kind, len(body)), pause=0.5)
        await wire.send(body)
        status, headers, _ = await wire.reply()
        assert status == 201
    async with listening(settings) as port, connected(port) as wire:
        await wire.send(
            f"GET {headers['location']} HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=1\r\nIf-None-Match: {headers['etag']}\r\n\r\n".encode()
        )
        assert (await wire.reply())[0] == 304


async def test_a_body_that_says_twice_where_it_ends_is_refused_and_nothing_after_it_is_read(
    settings: Settings, sqlite_store: Store
) -> None:
    """What follows would be another request to us, and a part of this one's body to a proxy that goes by its length."""
    chunked = b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMALL), SMALL)
    async with listening(settings) as port:
        async with connected(port) as wire:
            await wire.send(chunked + b"Content-Length: 4\r\n\r\n" + body + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            status, _, problem = await wire.reply()
            assert (status, problem["code"]) == (400, "malformed_request")
            assert "Content-Length and Transfer-Encoding" in problem["detail"]
            assert await wire.is_closed()
        assert left_behind(settings, sqlite_store) == (0, 0, 0)
        async with connected(port) as wire:
            await wire.send(chunked + b"\r\n" + body)
            assert (await wire.reply())[0] == 201


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        ("http://localhost/healthz", "localhost", 200),
        ("HTTP://127.0.0.1:1/v1/jobs?limit=1#there", "localhost", 200),
        ("http://localhost/v1/jobs?limit=0", "localhost", 422),
        ("http://localhost?limit=1", "localhost", 200),
        ("http://localhost/healthz", "elsewhere.example", 200),
        ("http://elsewhere.example/healthz", "localhost", 403),
    ],
)
async def test_a_request_may_name_the_whole_address_which_goes_before_its_host(
    settings: Settings, sqlite_store: Store, target: str, host: str, status: int
) -> None:
    async with listening(settings) as port, connected(port) as wire:
        await wire.send(f"HEAD {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        assert await wire.status() == status


async def test_a_body_in_crumbs_is_refused_and_one_in_pieces_is_taken(settings: Settings, sqlite_store: Store) -> None:
    path, kind, body = BODIES["data set"]
    async with listening(settings) as port:
        async with connected(port) as wire:
            await wire.send(head(path, kind, None) + b"1\r\n \r\n" * 5000)
            status, _, problem = await wire.reply()
            assert (status, problem["code"]) == (400, "malformed_request")
            assert "chunks" in problem["detail"]
            assert await wire.is_closed()
        async with connected(port) as wire:
            pieces = [body[i : i + 1024] for i in range(0, len(body), 1024)] + [b""]
            await wire.send(head(path, kind, None), b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces))
            assert (await wire.reply())[0] == 201
        async with connected(port) as wire:
            await wire.send(head(*BODIES["job"][:2], None), b"".join(b"1\r\n%c\r\n" % byte for byte in SMALL) + b"0\r\n\r\n")
            assert (await wire.reply())[0] == 201
        assert left_behind(settings, sqlite_store)[2] == 0


async def test_what_still_comes_of_a_refused_body_is_read_within_bounds(
    settings: Settings, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol.Protocol, "leftover_bytes", 4 * 1024**2)
    async with listening(settings) as port:
        async with connected(port) as wire:
            # A body that ends: its sender hears why it was refused, and the connection serves on.
            for _ in range(3):
                await wire.send(head("/v1/jobs", "application/json", 3 * 1024**2), bytes(3 * 1024**2))
                assert (await wire.reply())[0] == 413
        async with connected(port) as wire:
            await wire.send(head("/v1/jobs", "application/json", 10**9))
            assert (await wire.reply())[0] == 413
            with pytest.raises(ConnectionError):
                await asyncio.wait_for(wire.send(*[bytes(2**20)] * 100), 60)


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - neither the disk nor a log tells of itself
            await asyncio.sleep(0.01)

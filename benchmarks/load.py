"""How requests are sent and timed: by our own few lines of HTTP/1.1, since a full client takes longer than what it would measure."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

from benchmarks import figures


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered."""

    status: int
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


@dataclass
class Load:
    """What came of a load."""

    seconds: float = 0.0
    """From the first request to the last answer."""
    milliseconds: list[float] = field(default_factory=list)
    """How long each answer took."""
    refused: int = 0
    """Answers that were none that had been asked for."""

    @property
    def per_second(self) -> float:
        return len(self.milliseconds) / self.seconds

    def percentile(self, share: float) -> float:
        """Milliseconds in which that share of the answers were there."""
        return figures.percentile(self.milliseconds, share)


class Connection:
    """One connection that is kept; requests follow one another on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, url: str) -> Self:
        address = urlsplit(url)
        return cls(*await asyncio.open_connection(address.hostname, address.port))

    async def ask(self, request: bytes) -> Reply:
        """Send it and read the answer, whose length must be given."""
        self.writer.write(request)
        status, headers = await self.head()
        return Reply(status, headers, await self.reader.readexactly(int(headers.get("content-length", "0"))))

    async def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers of the answer that comes next."""
        first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (line.split(":", 1) for line in lines if line)
        return int(first.split()[1]), {name.lower(): value.strip() for name, value in pairs}

    def close(self) -> None:
        self.writer.close()


def request(method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a request."""
    content = b"" if body is None else json.dumps(body).encode()
    told = {"host": "127.0.0.1", "content-length": str(len(content))} | ({"content-type": "application/json"} if content else {})
    lines = "".join(f"{name}: {value}\r\n" for name, value in (told | dict(headers or {})).items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + content


async def crowd(url: str, make: Callable[[int], bytes], requests: int, connections: int, expected: int) -> tuple[Load, list[Reply]]:
    """Each connection asks again as soon as it is answered, until all `requests` are; `make` gives each by its number."""
    load, replies, numbers = Load(), [], iter(range(requests))

    async def one(connection: Connection) -> None:
        for number in numbers:
            began = time.perf_counter()
            reply = await connection.ask(make(number))
            load.milliseconds.append((time.perf_counter() - began) * 1000)
            load.refused += reply.status != expected
            replies.append(reply)

    opened = [await Connection.to(url) for _ in range(connections)]
    began = time.perf_counter()
    await asyncio.gather(*map(one, opened))
    load.seconds = time.perf_counter() - began
    for connection in opened:
        connection.close()
    return load, replies


async def steady(url: str, make: Callable[[int], bytes], per_second: float, seconds: float, connections: int, expected: int) -> Load:
    """Requests at a pace that does not wait for answers: each is timed from when it was due, so that a stall counts for all it delays."""
    load, numbers = Load(seconds=seconds), iter(range(int(per_second * seconds)))
    opened = [await Connection.to(url) for _ in range(connections)]
    began = time.perf_counter()

    async def one(connection: Connection) -> None:
        for number in numbers:
            due = began + number / per_second
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            reply = await connection.ask(make(number))
            load.milliseconds.append((time.perf_counter() - due) * 1000)
            load.refused += reply.status != expected

    await asyncio.gather(*map(one, opened))
    for connection in opened:
        connection.close()
    return load

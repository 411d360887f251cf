"""The few lines of HTTP that time a server ask what they should, and time it from when it was due."""

import asyncio

from benchmarks import load


async def _answered(asked: list[bytes], delays: dict[int, float], pace: str, requests: int, connections: int) -> load.Load:
    """A load on a server that answers 201 with a body, the request of that number after a delay."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            number = int(await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])))
            asked.append(head)
            await asyncio.sleep(delays.get(number, 0))
            status = 503 if number == 3 else 201
            writer.write(f"HTTP/1.1 {status} Whatever\r\nContent-Length: 2\r\nETag: x\r\n\r\nok".encode())

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    def make(number: int) -> bytes:
        return load.request("POST", "/v1/jobs", number, {"if-none-match": "y"})

    try:
        if pace == "crowd":
            made, replies = await load.crowd(url, make, requests, connections, 201)
            assert {reply.body for reply in replies} == {b"ok"}
            assert {reply.headers["etag"] for reply in replies} == {"x"}
            return made
        return await load.steady(url, make, 1000, requests / 1000, connections, 201)
    finally:
        server.close()


def test_a_crowd_sends_every_request_once_and_counts_what_was_refused() -> None:
    asked: list[bytes] = []
    made = asyncio.run(_answered(asked, {}, "crowd", 20, 4))
    assert len(asked) == len(made.milliseconds) == 20
    assert made.refused == 1
    assert all(head.startswith(b"POST /v1/jobs HTTP/1.1\r\n") and b"if-none-match: y\r\n" in head for head in asked)
    assert made.per_second == 20 / made.seconds


def test_a_stall_counts_for_every_request_that_it_delays() -> None:
    made = asyncio.run(_answered([], {0: 0.2}, "steady", 50, 1))
    assert len(made.milliseconds) == 50
    # All were due within 50 ms, and waited on the one connection for the first to be answered.
    assert min(made.milliseconds) >= 100

"""What hostile clients send, and the service that they send it to: `python -m service` on SQLite, over loopback."""

import io
import json
import multiprocessing
import os
import re
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from http.client import HTTPConnection
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Final

from client import tether
from contract.store import Store, schema

MEBIBYTE: Final = 1024**2
LIMITS: Final = {"RIDGELINE_DATASET_BYTES": str(8 * MEBIBYTE), "RIDGELINE_BODY_SECONDS": "2"}
PACE_SECONDS: Final = 0.1
"""From one attack of a client to its next, at least: to be asked more often than that is what RIDGELINE_RATE_LIMIT is for."""
_JSON, _OCTETS = ("/v1/jobs", "application/json"), ("/v1/datasets", "application/octet-stream")


@dataclass(frozen=True)
class Reply:
    """How an attack was answered."""

    status: int | None
    """None where the connection was closed without an answer."""
    is_problem: bool


@contextmanager
def served(folder: Path, **settings: str) -> Iterator[tuple[int, int]]:
    """Pid and port of a service of its own in `folder`, which knows no other."""
    store = Store(f"sqlite:///{folder}/ridgeline.db")
    schema.migrate(store)
    store.close()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RIDGELINE_")} | {
        "RIDGELINE_DATABASE_URL": f"sqlite:///{folder}/ridgeline.db",
        "RIDGELINE_REDIS_URL": "redis://127.0.0.1:1/0",
        "RIDGELINE_ARTIFACTS_FOLDER": str(folder / "artifacts"),
        "RIDGELINE_SCRATCH_FOLDER": str(folder / "scratch"),
        "RIDGELINE_LOG_LEVEL": "error",
        "RIDGELINE_PORT": "0",
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    command = [sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), "--", sys.executable, "-m", "service"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment | settings)
    try:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline().rsplit(":", 1)[1])
    finally:
        process.terminate()
        process.wait(30)


def resident(pid: int, what: str = "VmRSS") -> int:
    """Bytes of memory of a process, now; `VmHWM` for the most so far."""
    return int(re.search(rf"{what}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) * 1024  # type: ignore[index]


def cpu_seconds(pid: int) -> float:
    """That a process and those of its children that have ended have used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


class Probe:
    """A client that means well, and how long it waits for each reply."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self) -> tuple[int, float]:
        """The status of a page of jobs, and the seconds until it was there."""
        began = time.perf_counter()
        self._connection.request("GET", "/v1/jobs?limit=5")
        reply = self._connection.getresponse()
        reply.read()
        return reply.status, time.perf_counter() - began


def _oversized_upload(port: int) -> Reply:
    return _sent(port, *_OCTETS, (bytes(MEBIBYTE) for _ in range(64)))


def _oversized_json(port: int) -> Reply:
    return _sent(port, *_JSON, (b" " * 65_536 for _ in range(64)))


def _bomb(port: int) -> Reply:
    return _sent(port, *_OCTETS, [_zipped_zeros()])


def _deep_json(port: int) -> Reply:
    return _sent(port, *_JSON, [b'{"a":' * 15_000 + b"1" + b"}" * 15_000])


def _wide_json(port: int) -> Reply:
    return _sent(port, *_JSON, [b"[" + b"{}," * (MEBIBYTE // 3 - 2) + b"1]"])


def _faulty_spec(port: int) -> Reply:
    return _sent(port, *_JSON, [json.dumps({"penalties": [{"kind": "l2", "lambda": 1} | {f"f{i}": 1 for i in range(14)}] * 143}).encode()])


def _crumbs(port: int) -> Reply:
    return _sent(port, *_OCTETS, (b"1\r\n \r\n" * 10_000 for _ in range(100)), is_chunked=True)


def _length_too_long(port: int) -> Reply:
    return _sent(port, *_OCTETS, [bytes(1000)], declared=MEBIBYTE, leaves=True)


def _length_too_short(port: int) -> Reply:
    return _sent(port, *_JSON, [b"[" * 65_536], declared=10)


def _path_out(port: int) -> Reply:
    return _sent(port, f"/v1/jobs/{'..%2f' * 20}etc%2fpasswd/cancel", "application/json", [b"{}"])


def _member_out(port: int) -> Reply:
    return _sent(port, *_OCTETS, [_zipped({"../../x.npy": b"", "/etc/y.npy": b""})])


def _webhook_inside(port: int) -> Reply:
    body = json.dumps({"url": "https://[::ffff:169.254.169.254]/latest/meta-data"})
    return _sent(port, "/v1/webhooks", "application/json", [body.encode()])


def _slow_body(port: int) -> Reply:
    return _sent(port, *_JSON, _dripping(), declared=1000)


ATTACKS: Final[dict[str, tuple[Callable[[int], Reply], int | None]]] = {
    "an upload without an end": (_oversized_upload, 413),
    "a JSON body without an end": (_oversized_json, 413),
    "a zip bomb": (_bomb, 422),
    "JSON 15,000 deep": (_deep_json, 400),
    "a mebibyte of empty objects": (_wide_json, 400),
    "a spec of 2,000 faults": (_faulty_spec, 422),
    "chunks of one byte": (_crumbs, 400),
    "a length that is too long": (_length_too_long, None),
    "a length that is too short": (_length_too_short, 400),
    "a path that leads out": (_path_out, 404),
    "an archive that leads out": (_member_out, 422),
    "a webhook that leads inside": (_webhook_inside, 422),
    "a byte now and then": (_slow_body, 408),
}
"""Each attack, once, and the status that it is answered with."""


@contextmanager
def under_attack(name: str, port: int, clients: int) -> Iterator[Callable[[], int]]:
    """So many clients attack until the block is left; how often they have. Of the lowest priority, as elsewhere they would be other machines."""
    count = multiprocessing.Value("i", 0)
    attackers = [multiprocessing.Process(target=_attack, args=(name, port, count), daemon=True) for _ in range(clients)]
    for attacker in attackers:
        attacker.start()
    try:
        yield lambda: count.value
    finally:
        for attacker in attackers:
            attacker.kill()
            attacker.join()


def _attack(name: str, port: int, count: "Synchronized[int]") -> None:
    """Until it is killed, or nobody listens any more."""
    os.nice(19)
    while True:
        began = time.monotonic()
        ATTACKS[name][0](port)
        with count.get_lock():
            count.value += 1
        time.sleep(max(0.0, began + PACE_SECONDS - time.monotonic()))


def _sent(
    port: int, path: str, kind: str, pieces: Iterable[bytes], *, declared: int | None = None, is_chunked: bool = False, leaves: bool = False
) -> Reply:
    """The reply to a body that is sent until it ends or the server has had enough. Of one without a length, each piece is a chunk."""
    framing = "Transfer-Encoding: chunked" if declared is None else f"Content-Length: {declared}"
    with socket.create_connection(("127.0.0.1", port), timeout=60) as wire:
        with suppress(ConnectionError):
            wire.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n{framing}\r\n\r\n".encode())
            for piece in pieces:
                wire.sendall(piece if is_chunked or declared is not None else b"%x\r\n%b\r\n" % (len(piece), piece))
            if declared is None:
                wire.sendall(b"0\r\n\r\n")
            if leaves:
                wire.shutdown(socket.SHUT_WR)
        return _reply(wire)


def _reply(wire: socket.socket) -> Reply:
    head = b""
    with suppress(ConnectionError):
        while b"\r\n\r\n" not in head and (piece := wire.recv(4096)):
            head += piece
    if not head:
        return Reply(None, is_problem=False)
    return Reply(int(head.split()[1]), b"application/problem+json" in head)


def _dripping() -> Iterator[bytes]:
    """A byte ten times a second, for ever: until the server closes the connection."""
    while True:
        yield b" "
        time.sleep(0.1)


@cache
def _zipped_zeros() -> bytes:
    return _zipped({"x.npy": bytes(80 * MEBIBYTE), "y.npy": b""})


def _zipped(members: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()

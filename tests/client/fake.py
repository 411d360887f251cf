"""A server over real HTTP that speaks the documented shapes and can be told to break in the ways that networks break."""

import hashlib
import json
import re
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]
RESYNC = b'event: resync\ndata: {"object": "training.resync", "reason": "unknown_event_id", "from_seq": 1}\n\n'
JOB = "job_01kaj3v2m4n5p6q7r8s9t0v1w2"


class Fake:
    """What the server knows, and the faults that are queued for it. `port` 0 takes a free one."""

    def __init__(self, port: int = 0) -> None:
        self.jobs: dict[str, Json] = {JOB: job(JOB)}
        self.keys: dict[str, str] = {}
        self.history: list[Json] = []
        """The job's durable events."""
        self.files: dict[str, bytes] = {"model.safetensors": b"weights" * 1000}
        self.sha256: str | None = None
        """What the checkpoint claims, where that is to be wrong."""
        self.cuts: deque[int] = deque()
        """For each coming stream or download: after how many bytes of its body the connection breaks."""
        self.ends_well: deque[bool] = deque()
        """For each cut: whether the stream ends as if it were complete, as it does when a server shuts down."""
        self.repeats = 0
        """So many events that the client has heard already begin each stream."""
        self.dropped = 0
        """So many coming requests are carried out and never answered."""
        self.refusals: deque[tuple[int, Json, dict[str, str]]] = deque()
        """Status, body and headers of the coming answers."""
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> "Fake":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def seen(self, method: str, path: str) -> list[dict[str, str]]:
        """The headers of each such request, in order."""
        return [headers for verb, where, headers in self.requests if (verb, where.split("?")[0]) == (method, path)]


def job(job_id: str, status: str = "running", **fields: Any) -> Json:
    return {
        "object": "training.job", "id": job_id, "name": None, "metadata": {}, "status": status, "status_reason": None,
        "created_at": "2026-11-22T07:15:00.123Z", "latest_metrics": {}, "best": None, "error": None, "dataset": None,
        "progress": {"epoch": 0, "epochs": 2, "step": 0, "steps": None, "fraction": 0.0, "seconds_remaining": None},
    } | fields  # fmt: skip


def history(end: str = "succeeded", epochs: int = 2) -> list[Json]:
    """What a job says from its submission to its end."""
    said: list[tuple[str, str, Json]] = [
        ("status", "queued", {"from": None, "to": "queued", "actor": "client", "reason": None}),
        ("status", "running", {"from": "queued", "to": "running", "actor": "worker", "reason": None}),
    ]
    for epoch in range(1, epochs + 1):
        metrics = {"train.loss": 1 / epoch, "train.penalty.l2": 0.01, "val.loss": "NaN", "val.accuracy": 0.5 + epoch / 10}
        said.append(("epoch", f"epoch {epoch} done in 1.0 s", {"epoch": epoch, "step": 10 * epoch, "seconds": 1.0, "metrics": metrics}))
    said.append(("status", end, {"from": "running", "to": end, "actor": "worker", "reason": None}))
    return [
        {"object": "training.event", "seq": seq, "type": kind, "at": "2026-11-22T07:15:00.123Z", "level": "info", "message": message, "data": data}
        for seq, (kind, message, data) in enumerate(said, 1)
    ]  # fmt: skip


def result() -> Json:
    """As contract.events.Result says it, under its job's id."""
    return {
        "object": "training.result", "job_id": JOB, "stop_reason": "epochs", "epochs": 2, "steps": 20, "best_epoch": 2,
        "metrics": {"train.loss": 0.25, "train.penalty.l2": 0.0125, "train.gradient_mapping": 0.0625, "val.accuracy": 0.875, "test.accuracy": 0.75}, "best_metrics": {},
        "layers": [{"name": "conv1", "size": 288, "zeros": 17, "near_zero": 20, "l1": 1.0, "l2": 1.0, "filters": 32,
                    "dead_filters": 3, "sigma_max": 1.75}], "parameters": 288,
        "data": {"name": "fashion_mnist", "source": "shipped_subset", "sha256": "ab" * 32, "train_rows": 9000, "validation_rows": 1000,
                 "test_rows": 2000},
        "machine": {"device": "cpu", "precision": "float32", "threads": 2, "cpu_capability": "AVX2", "torch": "2.15.0"},
        "samples_per_second": 1234.5,
    }  # fmt: skip


def problem(status: int, code: str, detail: str, errors: list[Json] | None = None) -> Json:
    return {
        "type": "about:blank",
        "title": code,
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": "req_1",
        "errors": errors or [],
    }


def frames(events: list[Json]) -> bytes:
    """As the API streams them: durable ones with their seq as id, and between them a frame of live metrics without one."""
    out = [b": hello\n\n"]
    for event in events:
        out.append(f"id: {event['seq']}\nevent: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        if event["type"] == "epoch":
            progress = {"epoch": event["data"]["epoch"], "epochs": 2, "step": event["data"]["step"], "steps": 20, "fraction": 0.5}
            live = {"object": "training.progress", "status": "running", "progress": progress, "latest_metrics": {"train.loss": 0.5}}
            out.append(f"event: metrics\ndata: {json.dumps(live)}\n\n".encode())
    return b"".join(out)


def _handler(fake: Fake) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """A test's output is its own."""

        def do_GET(self) -> None:
            self._note()
            path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
            if self._is_refused():
                return
            match path.strip("/").split("/"):
                case ["readyz"]:
                    self._json(200, {"status": "ok", "checks": []})
                case ["v1", "workers"]:
                    self._json(
                        200, {"object": "list", "data": [{"object": "worker", "state": "idle", "is_fresh": True}], "has_more": False}
                    )
                case ["v1", "compare"]:
                    jobs = [
                        {"id": job_id, "status": "succeeded", "result": {"metrics": {"val.loss": 0.5}}}
                        for job_id in query["ids"][0].split(",")
                    ]
                    differences = [{"pointer": "/optimizer/lr", "values": {jobs[0]["id"]: 0.25}}]
                    self._json(200, {"object": "training.comparison", "jobs": jobs, "differences": differences, "series": []})
                case ["v1", "jobs"]:
                    self._page(int(query.get("cursor", ["0"])[0]), int(query.get("limit", ["20"])[0]))
                case ["v1", "jobs", job_id] if job_id in fake.jobs:
                    self._json(200, fake.jobs[job_id])
                case ["v1", "jobs", job_id, "events"] if job_id in fake.jobs:
                    after = int(self.headers.get("Last-Event-ID", "0"))
                    if after > len(fake.history):
                        self._stream(RESYNC + frames(fake.history))
                        return
                    self._stream(frames([event for event in fake.history if event["seq"] > after - fake.repeats]))
                case ["v1", "jobs", job_id, "result"] if job_id in fake.jobs:
                    self._json(200, result())
                case ["v1", "jobs", job_id, "checkpoints", "best"]:
                    self._json(200, self._checkpoint(job_id))
                case ["files", name]:
                    self._file(fake.files[name])
                case _:
                    self._json(404, problem(404, "not_found", f"no such thing: {path}"))

        def do_POST(self) -> None:
            self._note()
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))) or b"{}")
            if self._is_refused():
                return
            if asked := re.fullmatch(r"/v1/jobs/(\w+)/(cancel|pause|resume|retry)", self.path):
                self._json(202, self._acted(asked[1], asked[2], body))
                return
            key = self.headers["Idempotency-Key"]
            job_id = fake.keys.setdefault(key, f"job_{len(fake.jobs):026}")
            fake.jobs.setdefault(job_id, job(job_id, "queued", name=body.get("name")))
            if fake.dropped:
                fake.dropped -= 1
                self.close_connection = True
                return
            self._json(201, fake.jobs[job_id])

        def do_PATCH(self) -> None:
            self._note()
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not self._is_refused():
                self._json(200, fake.jobs[self.path.rpartition("/")[2]] | {"asked": body})

        def do_DELETE(self) -> None:
            self._note()
            if not self._is_refused():
                self.send_response(204)
                self.end_headers()

        def _acted(self, job_id: str, action: str, body: Json) -> Json:
            if action == "retry":
                # A retry that there is already is given back.
                parent = {"job_id": job_id, "relation": "retry", "checkpoint_id": None}
                return fake.jobs.setdefault(f"{job_id}_again", job(f"{job_id}_again", "queued", parent=parent, asked=body))
            status = {"cancel": "cancelling", "pause": "pausing", "resume": "queued"}[action]
            return fake.jobs[job_id] | {"status": status}

        def _note(self) -> None:
            fake.requests.append((self.command, self.path, dict(self.headers)))

        def _is_refused(self) -> bool:
            if not fake.refusals:
                return False
            status, body, headers = fake.refusals.popleft()
            self._json(status, body, headers)
            return True

        def _json(self, status: int, body: Json, headers: dict[str, str] | None = None) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def _page(self, start: int, limit: int) -> None:
            found = list(fake.jobs.values())
            more = start + limit < len(found)
            cursor = str(start + limit) if more else None
            self._json(200, {"object": "list", "data": found[start : start + limit], "has_more": more, "next_cursor": cursor})

        def _stream(self, content: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream; charset=utf-8")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            cut = fake.cuts.popleft() if fake.cuts else None
            kept = content[:cut]
            if kept:
                self.wfile.write(f"{len(kept):x}\r\n".encode() + kept + b"\r\n")
            if cut is None or cut >= len(content) or (fake.ends_well and fake.ends_well.popleft()):
                self.wfile.write(b"0\r\n\r\n")
            self.close_connection = True

        def _checkpoint(self, job_id: str) -> Json:
            files = [
                {"name": name, "size_bytes": len(content), "sha256": fake.sha256 or hashlib.sha256(content).hexdigest(), "href": f"/files/{name}"}
                for name, content in fake.files.items()
            ]  # fmt: skip
            return {"object": "training.checkpoint", "id": "ckpt_1", "job_id": job_id, "files": files}

        def _file(self, content: bytes) -> None:
            wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            start = int(wanted[1]) if wanted else 0
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            rest = content[start:]
            self.wfile.write(rest[: fake.cuts.popleft()] if fake.cuts else rest)
            self.close_connection = True

    return Handler

"""A client that does not give up: it asks through every outage, and writes down what was promised to it, for the checker to hold us to."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Final, Self

import httpx

from tests.faults.kinds import KINDS
from tests.up import Json

_AGAIN_SECONDS: Final = 0.1
_BUSY: Final = frozenset({408, 429, 503})


class Client:
    """Asks one server, which may come and go and change its address, and logs each promise as a line of JSON.

    A line has `deed`, `job`, and for a submission `key` and `kind`. It is written after the answer and before the next request.
    """

    def __init__(self, url: Callable[[], str], log: Path, kinds: Mapping[str, Json] = KINDS) -> None:
        """`url` says where the server is now. `log` is appended to. `kinds` has the specs that can be submitted, by name."""
        self._url, self._log, self._kinds = url, log, kinds
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self.refused = 0
        """Requests that were answered with a refusal which is no outage, as a cancel that came too late."""
        self.violations: list[str] = []
        """Answers that no outage excuses."""

    def submit(self, kind: str, key: str) -> str:
        """Submit a job of this kind until that is acknowledged; its id."""
        body = {"name": kind, **self._kinds[kind]}
        reply = self._steadily("POST", "/v1/jobs", json=body, headers={"Idempotency-Key": key})
        assert reply.status_code == 201, reply.text
        job_id = str(reply.json()["id"])
        self._note({"deed": "submit", "job": job_id, "key": key, "kind": kind})
        return job_id

    def ask(self, job_id: str, deed: str) -> bool:
        """Cancel, pause or resume the job; whether that was acknowledged rather than refused."""
        reply = self._steadily("POST", f"/v1/jobs/{job_id}/{deed}")
        if not reply.is_success:
            self.refused += 1
            return False
        self._note({"deed": deed, "job": job_id})
        return True

    def job(self, job_id: str) -> Json:
        return dict(self._steadily("GET", f"/v1/jobs/{job_id}").raise_for_status().json())

    def submit_meanwhile(self, jobs: int, rng: Random, waiting: Callable[[], int], most_waiting: int = 4) -> None:
        """Begin to submit so many jobs in a thread, as long as `waiting` are few; every tenth is submitted twice, every 20th cancelled."""
        drawn = Random(rng.random())
        self._thread = threading.Thread(target=self._submit_all, args=(jobs, drawn, waiting, most_waiting), daemon=True)
        self._thread.start()

    @property
    def is_submitting(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def join(self, seconds: float) -> None:
        """Wait until all are submitted. Raises what ended the thread before."""
        if self._thread:
            self._thread.join(seconds)
            assert not self._thread.is_alive(), f"the client still submits after {seconds:g} s"
        if self._failure:
            raise self._failure

    def close(self) -> None:
        self._stopping.set()
        if self._thread:
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _submit_all(self, jobs: int, rng: Random, waiting: Callable[[], int], most_waiting: int) -> None:
        try:
            for number in range(jobs):
                while waiting() >= most_waiting and not self._stopping.is_set():
                    time.sleep(_AGAIN_SECONDS)
                kind, key = rng.choice(list(self._kinds)), f"key-{rng.getrandbits(64):x}"
                job_id = self.submit(kind, key)
                if number % 10 == 9:
                    self.submit(kind, key)
                if number % 20 == 19:
                    self.ask(job_id, "cancel")
        except BaseException as error:
            self._failure = error

    def _steadily(self, method: str, path: str, **options: object) -> httpx.Response:
        """The first answer that is no outage."""
        while not self._stopping.is_set():
            try:
                reply = httpx.request(method, f"{self._url()}{path}", timeout=10, trust_env=False, **options)  # type: ignore[arg-type]
            except httpx.TransportError:
                reply = None
            if reply is not None and reply.status_code >= 500 and reply.status_code not in _BUSY:
                self.violations.append(f"answer: {method} {path} got {reply.status_code}: {reply.text[:200]}")
            elif reply is not None and reply.status_code not in _BUSY:
                return reply
            self._stopping.wait(_AGAIN_SECONDS)
        raise ConnectionAbortedError("the client was closed before it was answered")

    def _note(self, line: Json) -> None:
        with self._log.open("a") as log:
            log.write(json.dumps(line) + "\n")


def promises(log: Path) -> Iterator[Json]:
    """What was acknowledged, oldest first."""
    if log.exists():
        yield from map(json.loads, log.read_text().splitlines())


def kinds_of(lines: Sequence[Json]) -> dict[str, str]:
    """The kind of each job that was acknowledged."""
    return {line["job"]: line["kind"] for line in lines if line["deed"] == "submit"}

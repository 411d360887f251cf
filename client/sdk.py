"""What a program can ask of a Ridgeline server, one method for each thing.

Replies are plain dicts, as the server sent them: they are open (a newer server adds fields and kinds), they print as JSON
unchanged, and the server's /docs page names every field. Classes here would be a second description that ages.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from client import credentials, download, stream, upload
from client.errors import ApiError
from client.wire import Json, Wire

DEFAULT_URL = "http://127.0.0.1:8000"


class Client:
    """A server of Ridgeline, and everything it can be asked.

    Every method raises ApiError where the server refuses, and ServerUnreachable where nothing answers for `patience_seconds`.
    Requests that fail on the way, or meet a busy server, are repeated meanwhile where repeating is harmless, which it nearly always is.
    """

    def __init__(
        self, url: str = DEFAULT_URL, *, patience_seconds: float = 3.0, stream_patience_seconds: float = 60.0,
        sleep: Callable[[float], None] = time.sleep, api_key: str | None = None,
    ) -> None:  # fmt: skip
        """`stream_patience_seconds` is how long `events` and `wait` hold on to a server that went away, for it to come back.

        `api_key` is what the server asks for, if it does; by default that of RIDGELINE_API_KEY, or on this machine the operator's, RIDGELINE_ADMIN_KEY.
        """
        self.url = url.rstrip("/")
        self._wire = Wire(url, patience_seconds=patience_seconds, sleep=sleep, api_key=api_key or credentials.of(url))
        self._stream_patience_seconds = stream_patience_seconds

    def submit(self, spec: Mapping[str, Any], key: str | None = None) -> Json:
        """The job made of `spec`. The same `key` never makes a second job; without one, each call has a key of its own."""
        headers = {"Idempotency-Key": key or str(uuid4())}
        return self._wire.json("POST", "/v1/jobs", json=dict(spec), headers=headers)

    def validate(self, spec: Mapping[str, Any]) -> Json:
        """What `submit` would say of `spec`, without submitting: every default filled in, the parameter count."""
        return self._wire.json("POST", "/v1/jobs/validate", json=dict(spec))

    def job(self, job_id: str) -> Json:
        """The job as it stands."""
        return self._wire.json("GET", f"/v1/jobs/{job_id}")

    def jobs(self, **filters: Any) -> Iterator[Json]:
        """Every job that passes the filters (`status`, `label`, `q`, `created_after`, `parent`), page by page, in the order of `sort`;
        `limit` is the size of a page."""
        return self._pages("/v1/jobs", filters)

    def cancel(self, job_id: str, *, mode: str = "graceful") -> Json:
        """Ask for the job's end; it keeps a checkpoint, unless the `mode` is `immediate`. Harmless to repeat."""
        return self._wire.json("POST", f"/v1/jobs/{job_id}/cancel", json={"mode": mode})

    def pause(self, job_id: str) -> Json:
        """Ask that the job rests, on a checkpoint, until it is resumed; its limits do not run meanwhile. Harmless to repeat."""
        return self._wire.json("POST", f"/v1/jobs/{job_id}/pause")

    def resume(self, job_id: str) -> Json:
        """Have a paused job wait for a worker again. Harmless to repeat; one still `pausing` is refused (ApiError 409)."""
        return self._wire.json("POST", f"/v1/jobs/{job_id}/resume")

    def retry(self, job_id: str, *, begin: str = "last", resume: str | None = None) -> Json:
        """The new job that does again what this one, failed or cancelled, did not do; the one there is already, if it was asked for before.

        `begin` is `last` (its last checkpoint) or `start`; `resume` takes the place of the spec's `checkpoints.resume`.
        """
        return self._wire.json("POST", f"/v1/jobs/{job_id}/retry", json={"begin": begin} | ({"resume": resume} if resume else {}))

    def extend(self, job_id: str, epochs: int, key: str | None = None) -> Json:
        """The new job that trains this one, which has succeeded, for so many `epochs` more. `key` as in `submit`."""
        headers = {"Idempotency-Key": key or str(uuid4())}
        return self._wire.json("POST", f"/v1/jobs/{job_id}/extend", json={"epochs": epochs}, headers=headers)

    def clone(
        self, job_id: str, overrides: Mapping[str, Any] | None = None, *, init_from: str | None = None,
        extend_epochs: int | None = None, key: str | None = None,
    ) -> Json:  # fmt: skip
        """The new job of this one's spec with `overrides` merged into it (a merge patch).

        It starts from the weights of the checkpoint `init_from` (`best`, `last` or an id), or goes on from the end of a job that
        succeeded for `extend_epochs` more. `key` as in `submit`.
        """
        asked = {"overrides": dict(overrides or {}), "init_from": init_from, "extend_epochs": extend_epochs}
        body = {name: value for name, value in asked.items() if value is not None}
        headers = {"Idempotency-Key": key or str(uuid4())}
        return self._wire.json("POST", f"/v1/jobs/{job_id}/clone", json=body, headers=headers)

    def update(self, job_id: str, changes: Mapping[str, Any], *, if_match: str | None = None) -> Json:
        """The job with other `name`, `metadata` or, while it is queued, `priority` (a merge patch: null takes a value away).

        With `if_match`, an ETag of the job, ApiError 412 tells that somebody else has changed it since.
        """
        headers = {"If-Match": if_match} if if_match else {}
        return self._wire.json("PATCH", f"/v1/jobs/{job_id}", json=dict(changes), headers=headers)

    def delete(self, job_id: str) -> None:
        """Delete a job that has ended, and a day later its numbers and checkpoints. Harmless to repeat."""
        self._wire.request("DELETE", f"/v1/jobs/{job_id}")

    def compare(self, *job_ids: str, **query: Any) -> Json:
        """In what the specs of 2 to 10 jobs differ, their series (`names`) epoch by epoch, and their results side by side."""
        return self._wire.json("GET", "/v1/compare", params={"ids": ",".join(job_ids), **query})

    def queue(self) -> Json:
        """How much waits, how long it has waited, and who works it off."""
        return self._wire.json("GET", "/v1/queue")

    def events(self, job_id: str, after: int = 0) -> Iterator[Json]:
        """The job's events above seq `after` as they happen, none lost or doubled, until the one that ends it.

        Between them come events of type `metrics` with `seq` None: how things stand within an epoch, for a progress bar.
        """
        return stream.events(self._wire, job_id, after, self._stream_patience_seconds)

    def wait(self, job_id: str) -> Json:
        """The job once it is over."""
        for _ in self.events(job_id):
            pass
        return self.job(job_id)

    def metrics(self, job_id: str, **query: Any) -> Json:
        """The job's metric series; `names`, `step_from`, `step_to` and `max_points` choose among them."""
        return self._wire.json("GET", f"/v1/jobs/{job_id}/metrics", params=query)

    def metrics_csv(self, job_id: str, **query: Any) -> str:
        """The same series as a table in CSV, with a column for each metric."""
        return self._wire.request("GET", f"/v1/jobs/{job_id}/metrics", params=query, headers={"Accept": "text/csv"}).text

    def logs(self, job_id: str, **query: Any) -> Json:
        """What the job logged; `level`, `q`, `after`, `tail` and `limit` choose among it."""
        return self._wire.json("GET", f"/v1/jobs/{job_id}/logs", params=query)

    def result(self, job_id: str) -> Json:
        """What a succeeded job found. Raises ApiError 409 before."""
        return self._wire.json("GET", f"/v1/jobs/{job_id}/result")

    def checkpoints(self, job_id: str, sort: str | None = None) -> Iterator[Json]:
        """Those that are kept; `sort` is a metric, with a `-` before it for the greatest first."""
        return self._pages(f"/v1/jobs/{job_id}/checkpoints", {"sort": sort} if sort else {})

    def checkpoint(self, job_id: str, name: str) -> Json:
        """One checkpoint, by its id or as `best` or `last`."""
        return self._wire.json("GET", f"/v1/jobs/{job_id}/checkpoints/{name}")

    def pin(self, job_id: str, name: str, *, pinned: bool = True) -> Json:
        """Keep a checkpoint whatever the job's policy says, or leave it to the policy again. Harmless to repeat."""
        return self._wire.json("PATCH", f"/v1/jobs/{job_id}/checkpoints/{name}", json={"pinned": pinned})

    def download(self, job_id: str, name: str, file: str, target: Path | str) -> Path:
        """Bring one file of a checkpoint to `target` (or into it, where that is a folder) and give its path.

        The bytes are checked against the checkpoint's SHA-256; an interrupted download goes on where it stopped.
        """
        files = {known["name"]: known for known in self.checkpoint(job_id, name)["files"]}
        if file not in files:
            raise ApiError(404, "not_found", f"checkpoint {name} of {job_id} has no file '{file}'; it has {', '.join(files)}")
        return download.fetch(self._wire, files[file], Path(target))

    def create_webhook(self, url: str, events: Sequence[str] = (), description: str | None = None) -> Json:
        """A new webhook, told of these events or of all. Its `secret` is in this reply only. Asked once: a repetition would make another."""
        body = {"url": url, "description": description} | ({"events": list(events)} if events else {})
        return self._wire.json("POST", "/v1/webhooks", json=body, patience_seconds=0)

    def webhooks(self) -> Iterator[Json]:
        """The webhooks there are, newest first."""
        return self._pages("/v1/webhooks", {})

    def test_webhook(self, webhook_id: str) -> Json:
        """The delivery of a test message sent now. Asked once, as each would send another."""
        return self._wire.json("POST", f"/v1/webhooks/{webhook_id}/test", patience_seconds=0)

    def delete_webhook(self, webhook_id: str) -> None:
        """Have a webhook told of nothing more, its log deleted with it. Raises ApiError 404 where there is none, also the second time."""
        self._wire.request("DELETE", f"/v1/webhooks/{webhook_id}")

    def upload_dataset(self, path: Path | str, name: str | None = None) -> Json:
        """The data set made of a file, or the one of the same content that there is: give its `id` as `dataset.id` of a spec.

        The file is a .npz of `x` and `y`, or a zip of IDX files or of class folders of images. Raises ApiError with everything that is
        wrong with it, by file and row, and OSError where it cannot be read.
        """
        return upload.send(self._wire, Path(path), name)

    def datasets(self) -> Iterator[Json]:
        """Every data set you uploaded, newest first."""
        return self._pages("/v1/datasets", {"limit": 100})

    def dataset(self, dataset_id: str) -> Json:
        """The data set of this id: its shape, type, rows and classes."""
        return self._wire.json("GET", f"/v1/datasets/{dataset_id}")

    def delete_dataset(self, dataset_id: str) -> None:
        """Take the data set away. Raises ApiError 409 while a job that has not ended was given it."""
        self._wire.request("DELETE", f"/v1/datasets/{dataset_id}")

    def workers(self) -> Iterator[Json]:
        """Who trains: device, state, last heard of."""
        return self._pages("/v1/workers", {})

    def create_key(self, name: str, scopes: Sequence[str], *, expires_at: str | None = None, tenant: str | None = None) -> Json:
        """A new API key; its `secret` is shown this once. Where an answer is lost it is asked for again, and the lost one stays in
        the list: revoke it.
        """
        asked = {"name": name, "scopes": [*scopes], "expires_at": expires_at, "tenant": tenant}
        return self._wire.json("POST", "/v1/api-keys", json={field: value for field, value in asked.items() if value is not None})

    def keys(self, **filters: Any) -> Iterator[Json]:
        """Every API key that you look after, without the secrets; the revoked too."""
        return self._pages("/v1/api-keys", filters)

    def revoke_key(self, key_id: str) -> None:
        """Have a key let nobody in any more. Harmless to repeat."""
        self._wire.request("DELETE", f"/v1/api-keys/{key_id}")

    def quota(self) -> Json:
        """What you may have, and have."""
        return self._wire.json("GET", "/v1/quota")

    def ready(self) -> Json:
        """What /readyz says, asked once. Raises ApiError 503 while a job would not be taken and trained."""
        return self._wire.json("GET", "/readyz", patience_seconds=0)

    def version(self) -> Json:
        """What the server runs: its version, and Python's."""
        return self._wire.json("GET", "/v1/version")

    def close(self) -> None:
        """Let go of the connections. `with Client() as client` does it by itself."""
        self._wire.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _pages(self, path: str, filters: Mapping[str, Any]) -> Iterator[Json]:
        query = dict(filters)
        while True:
            page = self._wire.json("GET", path, params=query)
            yield from page["data"]
            if not page.get("has_more"):
                return
            query["cursor"] = page["next_cursor"]

"""A job whose checkpoints go to a bucket: trained, listed, and downloaded in pieces that make the whole."""

import hashlib
from pathlib import Path

import pytest

from client.sdk import Client
from tests.up import SMALL, Up

pytestmark = pytest.mark.journey


def test_a_job_keeps_its_checkpoints_in_a_bucket_and_gives_them_away_in_parts(tmp_path: Path, s3: str) -> None:
    up = Up(tmp_path / "data", RIDGELINE_ARTIFACTS_URL="s3://ridgeline/journey", RIDGELINE_S3_ENDPOINT=s3)
    try:
        job = up.ended(up.submit(SMALL)["id"])
        assert job["status"] == "succeeded", job["error"]
        checkpoint = up.http.get(f"/v1/jobs/{job['id']}/checkpoints/last").raise_for_status().json()
        file = max(checkpoint["files"], key=lambda one: one["size_bytes"])
        middle = file["size_bytes"] // 2
        first = up.http.get(file["href"], headers={"Range": f"bytes=0-{middle - 1}"})
        rest = up.http.get(file["href"], headers={"Range": f"bytes={middle}-", "If-Range": first.headers["etag"]})
        with Client(up.url) as client:
            pinned = client.pin(job["id"], "last")["pinned"]
            table = client.metrics_csv(job["id"], scope="epoch", names="val.loss").splitlines()
            logged = client.logs(job["id"], q="started")["data"]
            by_loss = [one["metrics"]["val.loss"] for one in client.checkpoints(job["id"], sort="-val.loss")]
        ready = up.http.get("/readyz").json()
    finally:
        assert up.stop() == 0
    assert (first.status_code, rest.status_code) == (206, 206)
    assert hashlib.sha256(first.content + rest.content).hexdigest() == file["sha256"]
    assert pinned
    assert (table[0], len(table)) == ("step,scope,epoch,at,val.loss", 4)
    assert len(logged) == 1
    assert by_loss == sorted(by_loss, reverse=True) != []
    assert next(check for check in ready["checks"] if check["name"] == "artifacts")["ok"]
    assert not [path for path in (tmp_path / "data" / "artifacts").rglob("*") if path.is_file()]

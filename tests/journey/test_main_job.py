"""The main job as its users see it: HTTP, a real worker, HTTP."""

import hashlib
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from safetensors.numpy import load

from tests.processes import is_alive
from tests.up import LONG, SMALL, Json, Up

pytestmark = pytest.mark.journey


def stream(up: Up, job_id: str) -> list[tuple[str | None, str, Json]]:
    """Every frame of the job's stream until it ends: id, event name, data."""
    frames = []
    with up.http.stream("GET", f"/v1/jobs/{job_id}/events", headers={"Accept": "text/event-stream"}, timeout=90) as reply:
        fields: dict[str, str] = {}
        for line in reply.iter_lines():
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields:
                frames.append((fields.get("id"), fields["event"], json.loads(fields["data"])))
                fields = {}
    return frames


def download(up: Up, job_id: str, name: str, file: str = "model.safetensors") -> bytes:
    checkpoint = up.http.get(f"/v1/jobs/{job_id}/checkpoints/{name}").raise_for_status().json()
    (entry,) = [entry for entry in checkpoint["files"] if entry["name"] == file]
    body = up.http.get(entry["href"]).raise_for_status().content
    assert hashlib.sha256(body).hexdigest() == entry["sha256"]
    return body


def test_a_posted_job_is_trained_streamed_and_given_back(up: Up) -> None:
    job = up.submit(SMALL)
    frames = stream(up, job["id"])
    epochs = [data["data"]["epoch"] for _, event, data in frames if event == "epoch"]
    ids = [int(frame_id) for frame_id, _, _ in frames if frame_id]
    assert epochs == [1, 2, 3]
    assert ids == list(range(1, len(ids) + 1))
    assert frames[-1][2]["data"]["to"] == "succeeded"

    done = up.job(job["id"])
    assert done["status"] == "succeeded"
    assert done["dataset"] | {"sha256": ""} == {
        "name": "fake", "source": "generated", "sha256": "", "train_rows": 540, "validation_rows": 60, "test_rows": 100, "unlabelled_rows": 0,
    }  # fmt: skip
    result = up.http.get(f"/v1/jobs/{job['id']}/result").raise_for_status().json()
    assert {"train.loss", "train.penalty.l1", "train.penalty.l2", "val.loss", "test.accuracy"} <= result["metrics"].keys()
    assert result["data"]["sha256"] == done["dataset"]["sha256"]

    weights = load(download(up, job["id"], "best"))
    assert {name: tensor.shape for name, tensor in weights.items()}["conv1.weight"] == (8, 1, 3, 3)


def test_the_minimal_spec_is_a_whole_job(up: Up) -> None:
    job = up.submit({"optimizer": {"kind": "adam"}, "penalties": [{"kind": "l2", "lambda": 5e-4}], "epochs": 10})
    assert job["spec"]["model"] == {"kind": "tutorial_cnn"}
    assert job["spec"]["dataset"]["name"] == "fashion_mnist"
    assert up.http.post("/v1/jobs/validate", json=job["spec"]).json()["parameters"] == 421_642
    up.http.post(f"/v1/jobs/{job['id']}/cancel").raise_for_status()
    assert up.ended(job["id"])["status"] == "cancelled"


def test_a_cancel_within_an_epoch_leaves_a_checkpoint_that_loads(up: Up) -> None:
    job = up.submit(LONG)
    up.until(job["id"], lambda job: job["progress"]["epoch"] >= 1)
    assert up.http.post(f"/v1/jobs/{job['id']}/cancel").status_code == 202
    assert up.ended(job["id"])["status"] == "cancelled"
    assert load(download(up, job["id"], "last")).keys() >= {"conv1.weight", "fc1.bias"}
    assert up.http.post(f"/v1/jobs/{job['id']}/cancel").status_code == 200
    assert up.http.get(f"/v1/jobs/{job['id']}/result").status_code == 409


def test_a_trainer_killed_in_mid_epoch_changes_no_bit_of_the_result(up: Up) -> None:
    spec = {**SMALL, "epochs": 30, "model": {"kind": "cnn", "channels": [8], "hidden": [16], "norm": "batch", "dropout": 0.2}}
    undisturbed = up.submit(spec)
    assert up.ended(undisturbed["id"])["status"] == "succeeded"
    killed = up.submit(spec)
    for epoch in (3, 12):
        up.until(killed["id"], lambda job, epoch=epoch: job["progress"]["epoch"] >= epoch)
        os.kill(up.trainer(), signal.SIGKILL)
        up.until(killed["id"], lambda job: job["status"] != "running")
    done = up.ended(killed["id"])
    assert (done["status"], done["attempt"]) == ("succeeded", 3)
    assert download(up, killed["id"], "last") == download(up, undisturbed["id"], "last")
    result = [up.http.get(f"/v1/jobs/{job['id']}/result").json() for job in (undisturbed, killed)]
    assert result[0]["layers"] == result[1]["layers"]
    assert len(result[1]["resumed_at_steps"]) == 2


def test_a_diverging_job_fails_with_a_remedy_and_its_neighbour_succeeds(up: Up) -> None:
    bad = up.submit({**SMALL, "optimizer": {"kind": "sgd", "lr": 10.0, "momentum": 0.99}, "loss": {"kind": "half_mse"}, "epochs": 50})
    good = up.submit(SMALL)
    failed = up.ended(bad["id"])
    assert failed["status"] == "failed"
    assert failed["error"]["code"] == "diverged"
    assert "lr" in failed["error"]["hint"] + failed["error"]["message"]
    assert up.ended(good["id"])["status"] == "succeeded"


def test_bad_input_is_told_whole_and_nothing_is_a_500(up: Up) -> None:
    reply = up.http.post("/v1/jobs", json={"penalties": [{"kind": "l2", "lamda": 5e-4}], "optimizer": {"kind": "adamW"}, "epochs": 0})
    errors = {error["pointer"]: error["message"] for error in reply.json()["errors"]}
    assert reply.status_code == 422
    assert {"/penalties/0/lamda", "/penalties/0/lambda", "/optimizer/kind", "/epochs"} == errors.keys()
    assert "'lambda'" in errors["/penalties/0/lamda"]
    assert "'adamw'" in errors["/optimizer/kind"]
    assert up.http.get("/v1/jobs/job_unknown").status_code == 404
    done = up.submit(SMALL)
    up.ended(done["id"])
    assert up.http.post(f"/v1/jobs/{done['id']}/cancel").status_code == 409


def test_a_restart_of_the_whole_stack_keeps_every_job(own_up: Callable[[], Up]) -> None:
    first = own_up()
    done, running, waiting = (first.submit(spec) for spec in (SMALL, {**SMALL, "epochs": 60}, SMALL))
    first.ended(done["id"])
    first.until(running["id"], lambda job: job["progress"]["epoch"] >= 1)
    assert first.stop() == 0
    second = own_up()
    assert {job["id"] for job in second.http.get("/v1/jobs").json()["data"]} == {done["id"], running["id"], waiting["id"]}
    for job in (running, waiting):
        assert second.ended(job["id"])["status"] == "succeeded"
    resumed = second.job(running["id"])
    assert (resumed["attempt"], resumed["error"]) == (2, None)


def test_kill_9_of_up_leaves_nothing_running_and_the_next_up_goes_on(own_up: Callable[[], Up]) -> None:
    first = own_up()
    job = first.submit({**SMALL, "epochs": 60})
    first.until(job["id"], lambda job: job["progress"]["epoch"] >= 1)
    below = first.children()
    assert len(below) >= 5, below
    first.process.kill()
    first.process.wait()
    for _ in range(100):
        left = [command for pid, command in below.items() if is_alive(pid)]
        if not left:
            break
        signal.sigtimedwait([], 0.1)
    assert left == []
    second = own_up()
    done = second.ended(job["id"])
    assert (done["status"], done["attempt"]) == ("succeeded", 2)
    with httpx.Client() as client:
        assert client.get(f"{second.url}/healthz").status_code == 200


def test_the_same_stack_runs_on_postgresql(postgresql_url: str, tmp_path: Path) -> None:
    up = Up(tmp_path / "data", RIDGELINE_DATABASE_URL=postgresql_url)
    try:
        job = up.submit(LONG)
        up.until(job["id"], lambda job: job["progress"]["epoch"] >= 1)
        os.kill(up.trainer(), signal.SIGKILL)
        up.until(job["id"], lambda job: job["attempt"] == 2 and job["status"] == "running")
        assert up.http.post(f"/v1/jobs/{job['id']}/cancel").status_code == 202
        assert up.ended(job["id"])["status"] == "cancelled"
        assert up.ended(up.submit(SMALL)["id"])["status"] == "succeeded"
        assert not (tmp_path / "data" / "ridgeline.db").exists()
    finally:
        assert up.stop() == 0

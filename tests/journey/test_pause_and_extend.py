"""A job that rests, is tried again or is trained on, through the whole service: it ends with the weights of one that was left alone."""

import hashlib

import pytest

from tests.journey.test_main_job import download
from tests.up import LONG, SMALL, Json, Up

pytestmark = pytest.mark.journey

SPEC: Json = {**SMALL, "epochs": 40, "seed": 7}


def act(up: Up, job: Json, action: str, status: int, body: Json | None = None) -> Json:
    reply = up.http.post(job["links"][action], json=body)
    assert reply.status_code == status, reply.text
    found: Json = reply.json()
    return found


def weights(up: Up, job: Json) -> str:
    """SHA-256 of the weights that a job ended with, which it must have done well."""
    assert up.ended(job["id"])["status"] == "succeeded", up.job(job["id"])
    return hashlib.sha256(download(up, job["id"], "last")).hexdigest()


@pytest.fixture(scope="module")
def undisturbed(up: Up) -> str:
    return weights(up, up.submit(SPEC))


def first_epoch(up: Up, job: Json) -> int:
    """The first epoch that the job itself trained."""
    events = up.http.get(job["links"]["events"], params={"limit": 1000}).json()["data"]
    return next(int(event["data"]["epoch"]) for event in events if event["type"] == "epoch")


def test_a_paused_job_rests_on_a_checkpoint_while_its_worker_trains_others_and_ends_as_if_it_had_not(up: Up, undisturbed: str) -> None:
    job = up.submit(SPEC)
    up.until(job["id"], lambda job: job["progress"]["epoch"] >= 3)
    act(up, job, "pause", 202)
    paused = up.until(job["id"], lambda job: job["status"] == "paused")
    last = up.http.get(f"{job['links']['checkpoints']}/last").json()
    assert last["step"] == paused["progress"]["step"] > 0
    other = up.submit(SMALL)
    assert up.ended(other["id"])["status"] == "succeeded"
    assert job["id"] not in [worker["job_id"] for worker in up.http.get("/v1/workers").json()["data"]]
    assert up.job(job["id"]) == paused
    resumed = act(up, job, "resume", 202)
    assert resumed["queue"]["waits_for"].startswith("torch ")
    assert weights(up, job) == undisturbed
    result = up.http.get(job["links"]["result"]).json()
    assert (result["bitwise"], result["resumed_at_steps"]) == (True, [last["step"]])


def test_a_cancelled_job_that_is_retried_ends_as_if_it_had_never_been_cancelled(up: Up, undisturbed: str) -> None:
    job = up.submit(SPEC)
    up.until(job["id"], lambda job: job["progress"]["epoch"] >= 3)
    act(up, job, "cancel", 202)
    cancelled = up.ended(job["id"])
    retry = act(up, job, "retry", 202, {})
    assert act(up, job, "retry", 200, {})["id"] == retry["id"]
    assert weights(up, retry) == undisturbed
    assert first_epoch(up, retry) > 3
    assert up.job(job["id"]) == cancelled


def test_a_job_that_ran_out_of_time_goes_on_from_its_checkpoint_when_it_is_retried(up: Up) -> None:
    job = up.submit({**LONG, "limits": {"max_runtime_seconds": 5}})
    failed = up.ended(job["id"])
    assert failed["error"]["code"] == "deadline_exceeded"
    last = up.http.get(f"{job['links']['checkpoints']}/last").json()
    retry = act(up, job, "retry", 202)
    assert retry["parent"] == {"job_id": job["id"], "relation": "retry", "checkpoint_id": last["id"]}
    up.until(retry["id"], lambda job: job["progress"]["epoch"] > last["epoch"])
    assert first_epoch(up, retry) == last["epoch"] + 1
    up.http.post(retry["links"]["cancel"])
    up.ended(retry["id"])


def test_a_job_extended_to_as_many_epochs_ends_with_the_weights_of_one_that_was_asked_for_them_at_once(up: Up, undisturbed: str) -> None:
    short = up.submit({**SPEC, "epochs": 15})
    up.ended(short["id"])
    longer = act(up, short, "extend", 201, {"epochs": 25})
    assert longer["spec"]["epochs"] == 40
    assert weights(up, longer) == undisturbed
    assert first_epoch(up, longer) == 16
    assert up.http.get(longer["links"]["result"]).json()["epochs"] == 40

"""What the SDK promises over a network that breaks."""

import random
import socket
from pathlib import Path

import pytest

from client.errors import ApiError, DownloadCorruptError, ServerUnreachable
from client.sdk import Client
from tests.client.fake import JOB, Fake, frames, history, job, problem

SPEC = {"epochs": 2}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_submission_whose_answers_are_lost_makes_one_job(fake: Fake, client: Client) -> None:
    fake.dropped = 2
    made = client.submit(SPEC)
    keys = {headers["Idempotency-Key"] for headers in fake.seen("POST", "/v1/jobs")}
    assert len(fake.seen("POST", "/v1/jobs")) == 3
    assert len(keys) == 1
    assert len(fake.jobs) == 2
    assert made["id"] in fake.jobs


def test_two_submissions_of_the_same_spec_are_two_jobs(fake: Fake, client: Client) -> None:
    assert client.submit(SPEC)["id"] != client.submit(SPEC)["id"]


def test_a_key_of_ones_own_is_sent_as_it_is(fake: Fake, client: Client) -> None:
    assert client.submit(SPEC, key="mine")["id"] == client.submit(SPEC, key="mine")["id"]
    assert [headers["Idempotency-Key"] for headers in fake.seen("POST", "/v1/jobs")] == ["mine", "mine"]


def test_an_extension_whose_answers_are_lost_makes_one_job(fake: Fake, client: Client) -> None:
    fake.dropped = 2
    client.extend(JOB, 3)
    sent = fake.seen("POST", f"/v1/jobs/{JOB}/extend")
    assert len(sent) == 3
    assert len({headers["Idempotency-Key"] for headers in sent}) == 1
    assert len(fake.jobs) == 2


def test_a_retry_says_no_more_than_it_was_asked_and_can_be_repeated(fake: Fake, client: Client) -> None:
    assert client.retry(JOB) == client.retry(JOB)
    assert fake.jobs[f"{JOB}_again"]["asked"] == {"begin": "last"}


@pytest.mark.parametrize("action", ["pause", "resume", "retry", "cancel"])
def test_an_action_meets_a_busy_server_once_more(fake: Fake, client: Client, waits: list[float], action: str) -> None:
    fake.refusals.append((503, problem(503, "store_unavailable", "the database does not answer"), {}))
    assert getattr(client, action)(JOB)["object"] == "training.job"
    assert len(waits) == 1


@pytest.mark.parametrize("status", [409, 429, 503])
def test_a_server_that_asks_to_come_back_later_is_asked_again_no_sooner(
    fake: Fake, client: Client, waits: list[float], status: int
) -> None:
    fake.refusals.append((status, problem(status, "busy", "come back"), {"Retry-After": "2"}))
    client.submit(SPEC)
    assert waits == [2.0]


def test_a_server_that_is_down_for_a_moment_is_asked_again_with_growing_waits(fake: Fake, client: Client, waits: list[float]) -> None:
    fake.refusals.extend([(503, problem(503, "unavailable", "starting"), {})] * 3)
    client.submit(SPEC)
    assert waits == pytest.approx([0.1, 0.2, 0.4])


def test_a_server_that_stays_busy_is_told_of_in_the_end(fake: Fake, client: Client, waits: list[float]) -> None:
    fake.refusals.extend([(503, problem(503, "store_unavailable", "the database does not answer"), {})] * 50)
    with pytest.raises(ApiError, match="503 store_unavailable: the database does not answer"):
        client.submit(SPEC)
    assert sum(waits) <= 3.0


def test_a_refused_spec_is_not_tried_again_and_every_pointer_is_named(fake: Fake, client: Client) -> None:
    errors = [
        {"pointer": "/optimizer/kind", "code": "unknown_kind", "message": "no such kind; did you mean 'adamw'?"},
        {"pointer": "", "code": "missing", "message": "this field is required"},
    ]
    fake.refusals.append((422, problem(422, "invalid_spec", "the spec has 2 faults", errors), {}))
    with pytest.raises(ApiError) as caught:
        client.submit(SPEC)
    assert str(caught.value) == (
        "422 invalid_spec: the spec has 2 faults\n"
        "  /optimizer/kind: no such kind; did you mean 'adamw'?\n"
        "  the document: this field is required"
    )
    assert (caught.value.status, caught.value.code, caught.value.request_id) == (422, "invalid_spec", "req_1")
    assert len(fake.requests) == 1


def test_nobody_at_the_address_is_told_with_the_address_and_the_remedy(waits: list[float]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with Client(url, sleep=waits.append) as client, pytest.raises(ServerUnreachable, match=rf"no answer from {url}.*ridgeline up.*--url"):
        client.job(JOB)
    assert 0 < sum(waits) <= 3.0


def test_something_else_at_the_address_is_told_as_such(fake: Fake, client: Client) -> None:
    fake.files["page"] = b"<html>"
    with pytest.raises(ApiError, match="no JSON object"):
        client._wire.json("GET", "/files/page")


def test_every_job_of_every_page_comes_once(fake: Fake, client: Client) -> None:
    fake.jobs |= {f"job_{index}": job(f"job_{index}") for index in range(6)}
    assert [found["id"] for found in client.jobs(limit=3)] == list(fake.jobs)
    assert len(fake.seen("GET", "/v1/jobs")) == 3


@pytest.mark.parametrize("seed", range(20))
def test_a_stream_cut_anywhere_any_number_of_times_gives_every_event_once_and_in_order(fake: Fake, client: Client, seed: int) -> None:
    draw = random.Random(seed)
    fake.history = history(epochs=8)
    fake.jobs[JOB]["status"] = draw.choice(["running", "succeeded"])
    fake.repeats = draw.randrange(3)
    whole = len(frames(fake.history))
    fake.cuts.extend(draw.randrange(whole) for _ in range(6))
    fake.ends_well.extend(draw.random() < 0.5 for _ in range(6))
    durable = [event for event in client.events(JOB) if event["type"] != "metrics"]
    assert durable == fake.history


def test_a_stream_that_ends_well_without_a_word_is_opened_again_while_the_job_goes_on(fake: Fake, client: Client) -> None:
    fake.cuts.extend([0, 0])
    fake.ends_well.extend([True, True])
    assert [event["seq"] for event in client.events(JOB) if event["seq"]] == [1, 2, 3, 4, 5]


def test_a_stream_that_ends_well_again_and_again_is_heard_to_the_last_event(fake: Fake, client: Client) -> None:
    fake.jobs[JOB]["status"] = "succeeded"
    fake.cuts.extend([len(frames(fake.history[:1])), len(frames(fake.history[1:2])), len(frames(fake.history[2:3]))])
    fake.ends_well.extend([True, True, True])
    assert [event["seq"] for event in client.events(JOB) if event["seq"]] == [1, 2, 3, 4, 5]


def test_a_stream_begun_in_the_middle_gives_what_follows(fake: Fake, client: Client) -> None:
    assert [event["seq"] for event in client.events(JOB, after=3) if event["seq"]] == [4, 5]


def test_an_event_that_the_server_does_not_know_begins_the_history_anew(fake: Fake, client: Client) -> None:
    first, *rest = [event for event in client.events(JOB, after=99) if event["type"] != "metrics"]
    assert (first["type"], first["seq"], first["data"]["from_seq"]) == ("resync", None, 1)
    assert rest == fake.history


def test_live_metrics_come_between_the_events_and_have_no_seq(fake: Fake, client: Client) -> None:
    live = [event for event in client.events(JOB) if event["type"] == "metrics"]
    assert [(event["seq"], event["data"]["progress"]["step"]) for event in live] == [(None, 10), (None, 20)]


def test_a_stream_begun_after_the_last_event_ends(fake: Fake, client: Client) -> None:
    fake.jobs[JOB]["status"] = "succeeded"
    assert list(client.events(JOB, after=5)) == []


def test_the_events_of_a_job_that_is_not_there_are_refused(client: Client) -> None:
    with pytest.raises(ApiError, match="404 not_found"):
        next(client.events("job_none"))


def test_a_stream_that_never_comes_back_is_given_up(fake: Fake, waits: list[float]) -> None:
    fake.cuts.extend([0] * 1000)
    with Client(fake.url, stream_patience_seconds=5, sleep=waits.append) as client, pytest.raises(ServerUnreachable):
        list(client.events(JOB))
    assert 1 < sum(waits) <= 5


def test_waiting_gives_the_job_as_it_ended(fake: Fake, client: Client) -> None:
    fake.jobs[JOB]["status"] = "succeeded"
    assert client.wait(JOB)["status"] == "succeeded"


def test_a_download_that_breaks_off_goes_on_where_it_stopped(fake: Fake, client: Client, tmp_path: Path) -> None:
    fake.cuts.extend([1000, 2500])
    path = client.download(JOB, "best", "model.safetensors", tmp_path / "deep" / "model.safetensors")
    assert path.read_bytes() == fake.files["model.safetensors"]
    assert [headers.get("Range") for headers in fake.seen("GET", "/files/model.safetensors")] == [None, "bytes=1000-", "bytes=3500-"]
    assert [file.name for file in path.parent.iterdir()] == ["model.safetensors"]


def test_a_download_given_up_goes_on_in_the_next_try(fake: Fake, client: Client, tmp_path: Path) -> None:
    fake.cuts.extend([1000] + [0] * 100)
    with pytest.raises(ServerUnreachable):
        client.download(JOB, "best", "model.safetensors", tmp_path)
    fake.cuts.clear()
    fake.requests.clear()
    path = client.download(JOB, "best", "model.safetensors", tmp_path)
    assert path.read_bytes() == fake.files["model.safetensors"]
    assert [headers["Range"] for headers in fake.seen("GET", "/files/model.safetensors")] == ["bytes=1000-"]


def test_a_download_with_other_bytes_than_promised_leaves_nothing(fake: Fake, client: Client, tmp_path: Path) -> None:
    fake.sha256 = "0" * 64
    with pytest.raises(DownloadCorruptError, match=r"should have 0{64}; it was thrown away"):
        client.download(JOB, "best", "model.safetensors", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_file_stays_until_the_new_one_is_whole(fake: Fake, client: Client, tmp_path: Path) -> None:
    target = tmp_path / "model.safetensors"
    target.write_bytes(b"of yesterday")
    fake.cuts.extend([1000] + [0] * 100)
    with pytest.raises(ServerUnreachable):
        client.download(JOB, "best", "model.safetensors", target)
    assert target.read_bytes() == b"of yesterday"


def test_a_file_that_the_checkpoint_does_not_have_is_refused_with_the_names_it_has(client: Client, tmp_path: Path) -> None:
    with pytest.raises(ApiError, match=r"no file 'model\.pt'; it has model\.safetensors"):
        client.download(JOB, "best", "model.pt", tmp_path)


def test_readiness_is_asked_once(fake: Fake, client: Client, waits: list[float]) -> None:
    checks = [{"name": "store", "ok": True, "detail": "answers"}, {"name": "workers", "ok": False, "detail": "no worker"}]
    fake.refusals.append((503, {"status": "unavailable", "checks": checks}, {"Retry-After": "1"}))
    with pytest.raises(ApiError, match=r"^503 unavailable: workers: no worker$"):
        client.ready()
    assert waits == []

"""`python -m service` as its parent sees it: the line that says where, the exit codes, the end."""

import contextlib
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from contract.store import Store
from service import __main__ as program


@pytest.fixture
def environment(tmp_path: Path, sqlite_store: Store) -> dict[str, str]:
    return os.environ | {
        "RIDGELINE_DATABASE_URL": f"sqlite:///{tmp_path}/ridgeline.db",
        "RIDGELINE_ARTIFACTS_FOLDER": f"{tmp_path}/artifacts",
        "RIDGELINE_REDIS_URL": "redis://127.0.0.1:1/0",
        "RIDGELINE_PORT": "0",
    }


@pytest.fixture
def process(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-m", "service"], env=environment, stdout=-1, stderr=-1, text=True) as started:
        yield started
        started.kill()


def refused(environment: dict[str, str], **changes: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-m", "service"], env=environment | changes, capture_output=True, text=True, timeout=60)
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    return done.returncode, done.stderr


def test_it_says_where_it_listens_and_ends_open_streams_when_asked_to_end(
    process: subprocess.Popen[str], environment: dict[str, str]
) -> None:
    assert process.stdout
    where = process.stdout.readline().split()
    assert where[0] == "listening"
    with httpx.Client(base_url=where[1]) as client:
        job = client.post("/v1/jobs", json={}, headers={"X-Request-Id": "mine-1"}).json()
        taken = refused(environment, RIDGELINE_PORT=where[1].rsplit(":")[-1])
        with client.stream("GET", job["links"]["events"], headers={"Accept": "text/event-stream"}) as stream:
            lines = stream.iter_lines()
            assert next(lines) == "event: status"
            process.send_signal(signal.SIGTERM)
            rest = list(lines)
    assert any("training.event" in line for line in rest)
    _, logged = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGTERM
    # A stream that has to be cut is told by uvicorn as a task that it cancelled.
    assert "Cancel" not in logged
    assert "request_id='mine-1'" in logged
    assert taken[0] == 1
    assert "RIDGELINE_PORT" in taken[1]


def test_open_streams_end_with_the_process_and_go_on_with_the_next_one(process: subprocess.Popen[str], environment: dict[str, str]) -> None:
    """Five clients follow a job, one of which never reads. The process ends all the same, and the next one misses nothing."""
    follow = {"Accept": "text/event-stream"}
    with httpx.Client(base_url=listening(process)) as client, contextlib.ExitStack() as streams:
        job = client.post("/v1/jobs", json={}).json()
        opened = [streams.enter_context(client.stream("GET", job["links"]["events"], headers=follow)) for _ in range(5)]
        process.send_signal(signal.SIGTERM)
        heard = ["".join(stream.iter_text()) for stream in opened[:4]]
        process.communicate(timeout=60)
    assert all("id: 1" in each for each in heard)
    with subprocess.Popen([sys.executable, "-m", "service"], env=environment, stdout=-1, stderr=-1, text=True) as again:
        with httpx.Client(base_url=listening(again)) as client:
            client.post(job["links"]["cancel"])
            rest = client.get(job["links"]["events"], headers={**follow, "Last-Event-ID": "1"}).text
        again.send_signal(signal.SIGTERM)
        again.communicate(timeout=60)
    assert [line for line in rest.splitlines() if line.startswith("id:")] == ["id: 2"]


def listening(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().split()[1]


def test_an_address_that_others_reach_is_refused_while_nobody_has_a_key(environment: dict[str, str]) -> None:
    code, why = refused(environment, RIDGELINE_HOST="0.0.0.0")
    assert code == 2
    assert "RIDGELINE_ADMIN_KEY" in why
    assert "python -m service.api_keys create --admin" in why


def test_an_address_that_others_reach_is_refused_without_keys_whatever_the_operator_says(environment: dict[str, str]) -> None:
    code, why = refused(environment, RIDGELINE_HOST="0.0.0.0", RIDGELINE_AUTH="off")
    assert code == 2
    assert "RIDGELINE_AUTH=keys" in why


def test_an_operators_key_that_could_be_guessed_is_refused_and_not_repeated(environment: dict[str, str]) -> None:
    code, why = refused(environment, RIDGELINE_ADMIN_KEY="hunter2")
    assert code == 2
    assert "RIDGELINE_ADMIN_KEY" in why
    assert "32" in why
    assert "hunter2" not in why


def test_a_setting_that_cannot_be_is_named(environment: dict[str, str]) -> None:
    code, why = refused(environment, RIDGELINE_PORT="http")
    assert code == 2
    assert "RIDGELINE_PORT" in why


def test_a_place_for_artifacts_that_cannot_be_is_named(environment: dict[str, str]) -> None:
    code, why = refused(environment, RIDGELINE_ARTIFACTS_URL="gs://bucket")
    assert code == 2
    assert "RIDGELINE_ARTIFACTS_URL" in why


def test_a_database_at_another_schema_is_refused_with_the_remedy(environment: dict[str, str], tmp_path: Path) -> None:
    code, why = refused(environment, RIDGELINE_DATABASE_URL=f"sqlite:///{tmp_path}/empty.db")
    assert code == 1
    assert "contract.store migrate" in why


def test_the_service_imports_neither_torch_nor_the_workers_rooms() -> None:
    code = "import sys, service.app; print([m for m in sys.modules if m.split('.')[0] in {'torch', 'numpy', 'worker', 'safetensors'}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_no_thread_keeps_the_interpreter_from_the_others_for_long_nor_does_a_search_for_garbage_in_what_was_loaded(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[float, bool]] = []
    before = sys.getswitchinterval()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    # The application alone has some 80,000 objects.
    monkeypatch.setattr(program.Server, "run", lambda *_, **__: seen.append((sys.getswitchinterval(), gc.get_freeze_count() > 50_000)))
    monkeypatch.setattr(program.logs, "configure", lambda _: None)
    try:
        assert program.main() == 0
    finally:
        sys.setswitchinterval(before)
        gc.unfreeze()
    assert seen == [(pytest.approx(program.SWITCH_SECONDS), True)]

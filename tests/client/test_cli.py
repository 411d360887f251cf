"""What the command line promises to people and to scripts: what stands on stdout, and which code it exits with."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from client import terminal, watch
from client.cli import app
from client.errors import ApiError
from client.sdk import Client
from tests.client.fake import JOB, Fake, history, problem
from tests.client.test_sdk import free_port

COMMANDS = {
    "submit": ["submit", "SPEC"],
    "submit --follow": ["submit", "SPEC", "--follow"],
    "watch": ["watch", JOB],
    "jobs": ["jobs"],
    "show": ["show", JOB],
    "cancel": ["cancel", JOB],
    "pause": ["pause", JOB],
    "resume": ["resume", JOB],
    "retry": ["retry", JOB],
    "retry --follow": ["retry", JOB, "--begin", "start", "--resume", "anywhere", "--follow"],
    "extend": ["extend", JOB, "--epochs", "3"],
    "clone": ["clone", JOB, "SPEC", "--init-from", "best"],
    "clone --follow": ["clone", JOB, "--follow"],
    "update": ["update", JOB, "--name", "new", "--label", "team=vision", "--label", "stage=", "--priority", "3"],
    "delete": ["delete", JOB],
    "compare": ["compare", JOB, f"{JOB}_again"],
    "result": ["result", JOB],
    "checkpoint": ["checkpoint", JOB, "best", "-o", "OUT"],
}

MORE = {
    "pin": ["pin", JOB, "best"],
    "metrics": ["metrics", JOB],
    "datasets upload": ["datasets", "upload", "SPEC"],
    "datasets list": ["datasets", "list"],
    "datasets delete": ["datasets", "delete", "ds_1"],
    "webhooks create": ["webhooks", "create", "https://example.com"],
    "webhooks list": ["webhooks", "list"],
    "webhooks test": ["webhooks", "test", "wh_1"],
    "webhooks delete": ["webhooks", "delete", "wh_1"],
    "keys create": ["keys", "create", "ci"],
    "keys list": ["keys", "list"],
    "keys revoke": ["keys", "revoke", "key_1"],
}
"""Those whose tests of what they print are elsewhere, against a real service."""
ASKING = COMMANDS | MORE
OF_THIS_MACHINE = {"up", "down"}


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.json"
    path.write_text('{"epochs": 2}')
    return path


def arguments(name: str, spec: Path, url: str) -> list[str]:
    places = {"SPEC": str(spec), "OUT": str(spec.parent)}
    return [*(places.get(part, part) for part in ASKING[name]), "--url", url]


def over(fake: Fake, status: str, **fields: object) -> None:
    """The job, and any that is submitted, is over with this status."""
    fake.history = history(status)
    fake.jobs[JOB] |= {"status": status, **fields}


@pytest.mark.parametrize("name", COMMANDS)
def test_with_json_everything_on_stdout_is_json(fake: Fake, spec: Path, name: str) -> None:
    over(fake, "succeeded")
    done = CliRunner().invoke(app, [*arguments(name, spec, fake.url), "--json"])
    assert done.exit_code == 0, done.stderr
    try:
        found = [json.loads(done.stdout)]
    except json.JSONDecodeError:
        found = [json.loads(line) for line in done.stdout.splitlines()]
    assert all("object" in document for document in found)


def test_every_command_is_among_those_that_are_tried() -> None:
    def named(group: Any) -> Iterator[str]:
        for name, command in group.commands.items():
            yield from (f"{name} {inner}" for inner in named(command)) if hasattr(command, "commands") else [name]

    assert set(named(typer.main.get_command(app))) == OF_THIS_MACHINE | {name.removesuffix(" --follow") for name in ASKING}


@pytest.mark.parametrize("name", ASKING)
def test_where_no_server_answers_the_code_is_4_and_stdout_is_empty(spec: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Client.__init__.__kwdefaults__, "patience_seconds", 0.0)
    done = CliRunner().invoke(app, [*arguments(name, spec, f"http://127.0.0.1:{free_port()}"), "--json"])
    assert done.exit_code == 4
    assert done.stdout == ""
    assert "ridgeline up" in done.stderr


@pytest.mark.parametrize("name", ASKING)
def test_what_the_server_refuses_has_code_2_and_its_reason_on_stderr(fake: Fake, spec: Path, name: str) -> None:
    errors = [{"pointer": "/epochs", "code": "greater_than_equal", "message": "should be at least 1, got 0"}]
    fake.refusals.extend([(422, problem(422, "invalid_spec", "1 fault", errors), {})] * 9)
    done = CliRunner().invoke(app, arguments(name, spec, fake.url))
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "/epochs: should be at least 1, got 0" in done.stderr


@pytest.mark.parametrize(("status", "code"), [("succeeded", 0), ("failed", 1), ("cancelled", 3)])
def test_the_outcome_of_a_watched_job_is_the_exit_code(fake: Fake, status: str, code: int) -> None:
    error = {"code": "diverged", "message": "loss became nan at step 812", "hint": "try lr below 0.5"} if status == "failed" else None
    over(fake, status, error=error)
    done = CliRunner().invoke(app, ["watch", JOB, "--url", fake.url])
    assert done.exit_code == code
    assert ("diverged: loss became nan at step 812\ntry lr below 0.5" in done.stderr) == (status == "failed")


def test_a_pipe_gets_a_plain_line_for_each_state_and_each_epoch(fake: Fake) -> None:
    over(fake, "succeeded")
    done = CliRunner().invoke(app, ["watch", JOB, "--url", fake.url])
    assert done.stdout.splitlines() == [
        "queued",
        "running",
        "epoch 1/2  loss 1  penalty.l2 0.01  val.loss NaN  val.accuracy 0.6",
        "epoch 2/2  loss 0.5  penalty.l2 0.01  val.loss NaN  val.accuracy 0.7",
        "succeeded",
    ]


def test_an_epoch_tells_how_far_from_stationary_the_job_is_where_it_is_asked_to_stop_there() -> None:
    assert "gradient_mapping 0.002" in watch.terms({"train.loss": 1.0, "train.gradient_mapping": 0.002, "val.loss": 1.0})


def test_a_spec_is_read_from_stdin(fake: Fake) -> None:
    done = CliRunner().invoke(app, ["submit", "-", "--url", fake.url], input='{"epochs": 2}')
    assert done.exit_code == 0
    assert done.stdout.strip() in fake.jobs


@pytest.mark.parametrize(("content", "reason"), [("{", "is no JSON"), ("[]", "holds no JSON object"), (None, "No such file")])
def test_a_file_that_holds_no_spec_is_wrong_usage(tmp_path: Path, content: str | None, reason: str) -> None:
    path = tmp_path / "spec.json"
    if content is not None:
        path.write_text(content)
    done = CliRunner().invoke(app, ["submit", str(path)])
    assert done.exit_code == 2
    assert reason in " ".join(done.stderr.split())


@pytest.mark.parametrize(("name", "said"), [("pause", f"{JOB} pausing"), ("resume", f"{JOB} queued"), ("retry", f"{JOB}_again")])
def test_an_action_says_what_became_of_the_job(fake: Fake, spec: Path, name: str, said: str) -> None:
    assert CliRunner().invoke(app, arguments(name, spec, fake.url)).stdout.strip() == said


def test_an_update_says_only_what_is_to_change(fake: Fake, spec: Path) -> None:
    done = CliRunner().invoke(app, [*arguments("update", spec, fake.url), "--json"])
    asked = {"name": "new", "priority": 3, "metadata": {"team": "vision", "stage": None}}
    assert json.loads(done.stdout)["asked"] == asked
    done = CliRunner().invoke(app, ["update", JOB, "--priority", "0", "--url", fake.url, "--json"])
    assert json.loads(done.stdout)["asked"] == {"priority": 0}


def test_a_comparison_has_a_column_for_each_job(fake: Fake, spec: Path) -> None:
    shown = CliRunner().invoke(app, arguments("compare", spec, fake.url)).stdout
    assert [JOB in shown, f"{JOB}_again" in shown, "/optimizer/lr" in shown, "0.25" in shown, "val.loss" in shown] == [True] * 5


def test_a_job_shows_what_it_continues_and_what_it_waits_for(fake: Fake) -> None:
    parent = {"job_id": "job_0", "relation": "retry", "checkpoint_id": "ckpt_0"}
    fake.jobs[JOB] |= {"parent": parent, "queue": {"position": 2, "jobs_ahead": 1, "waits_for": "torch 2.15.0, cpu, AVX2"}}
    shown = CliRunner().invoke(app, ["show", JOB, "--url", fake.url]).stdout
    assert "retry of job_0, from ckpt_0" in shown
    assert "place 2, 1 ahead, for a worker with torch 2.15.0, cpu, AVX2" in shown


def test_a_label_without_a_value_is_wrong_usage_and_takes_nothing_away(fake: Fake) -> None:
    done = CliRunner().invoke(app, ["update", JOB, "--label", "team", "--url", fake.url])
    assert (done.exit_code, fake.requests) == (2, [])
    assert "'team' is no KEY=VALUE; 'team=' takes the label away" in " ".join(done.stderr.split())


@pytest.mark.parametrize("epochs", [[], ["--epochs", "0"], ["--epochs", "1.5"]])
def test_an_extension_by_no_epochs_is_wrong_usage(fake: Fake, epochs: list[str]) -> None:
    assert CliRunner().invoke(app, ["extend", JOB, *epochs, "--url", fake.url]).exit_code == 2
    assert fake.requests == []


def test_the_address_can_stand_in_the_environment(fake: Fake) -> None:
    done = CliRunner().invoke(app, ["show", JOB, "--json"], env={"RIDGELINE_URL": fake.url})
    assert json.loads(done.stdout)["id"] == JOB


def test_a_result_shows_losses_zeros_and_where_the_data_came_from(fake: Fake) -> None:
    done = CliRunner().invoke(app, ["result", JOB, "--url", fake.url], env={"COLUMNS": "200"})
    for shown in (
        "data loss",
        "0.0125",
        "0.0625",
        "0.875",
        "conv1 17 of 288",
        "conv1 3 of 32",
        "conv1 1.75",
        "shipped_subset",
        "9,000 + 1,000 + 2,000 rows",
        "1,234 samples/s",
    ):
        assert shown in done.stdout


def test_a_checkpoint_is_written_where_it_was_asked_for(fake: Fake, tmp_path: Path) -> None:
    target = tmp_path / "mine.safetensors"
    done = CliRunner().invoke(app, ["checkpoint", JOB, "best", "-o", str(target), "--url", fake.url])
    assert done.stdout.strip() == str(target)
    assert target.read_bytes() == fake.files["model.safetensors"]


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_a_place_that_cannot_be_written_to_is_named_without_a_traceback(fake: Fake, tmp_path: Path, as_json: list[str]) -> None:
    (tmp_path / "file").write_text("")
    done = CliRunner().invoke(app, ["checkpoint", JOB, "best", "-o", str(tmp_path / "file" / "mine"), "--url", fake.url, *as_json])
    assert (done.exit_code, done.stdout) == (2, "")
    told = json.loads(done.stderr)["message"] if as_json else done.stderr
    assert str(tmp_path / "file") in told
    assert "name another place" in told


def test_an_interrupted_watch_leaves_the_job_alone_and_says_how_to_come_back(fake: Fake) -> None:
    fake.history = fake.history[:2]
    process = subprocess.Popen(
        [sys.executable, "-m", "client", "watch", JOB, "--url", fake.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Who runs the tests in the background of a script has Ctrl-C ignored, for what they start as well.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout
    assert [process.stdout.readline() for _ in range(2)] == ["queued\n", "running\n"]
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"ridgeline watch {JOB} --url {fake.url}" in err
    assert not fake.seen("POST", f"/v1/jobs/{JOB}/cancel")


def test_up_on_a_port_in_use_exits_with_1_and_one_line(fake: Fake, tmp_path: Path) -> None:
    port = fake.url.rpartition(":")[2]
    done = subprocess.run(
        [sys.executable, "-m", "client", "up", "--port", port, "--data-dir", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert f"port {port} on 127.0.0.1 cannot be used" in done.stderr
    assert "Traceback" not in done.stderr


def test_up_beyond_loopback_is_refused_with_the_setting_that_allows_it(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["up", "--host", "0.0.0.0", "--data-dir", str(tmp_path)], env={"RIDGELINE_ADMIN_KEY": "", "RIDGELINE_AUTH": ""}
    )
    assert done.exit_code == 1
    assert "RIDGELINE_ADMIN_KEY" in done.stderr


def test_the_help_names_every_exit_code() -> None:
    done = CliRunner().invoke(app, ["--help"])
    for code in ("0 done", "1 the job failed", "2 wrong usage", "3 the job was cancelled", "4 no server answers", "130 interrupted"):
        assert code in " ".join(done.stdout.split())


def test_the_command_line_starts_without_what_its_commands_need() -> None:
    heavy = "{'httpx', 'rich.progress', 'sqlalchemy', 'numpy', 'torch', 'fastapi', 'celery'}"
    program = f"import sys, client.cli; sys.exit(str({heavy} & set(sys.modules)) if {heavy} & set(sys.modules) else 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stderr


def test_a_terminal_gets_a_bar_that_moves(fake: Fake) -> None:
    import io

    from rich.console import Console

    over(fake, "succeeded")
    screen = io.StringIO()
    with Client(fake.url) as client:
        watch.follow(client, JOB, Console(file=screen, force_terminal=True, width=120))
    assert " 0%" in screen.getvalue()
    assert "50%" in screen.getvalue()
    assert "epoch 2/2" in screen.getvalue()


def test_with_json_an_error_is_json_too(fake: Fake) -> None:
    refused = CliRunner().invoke(app, ["submit", "-", "--json", "--url", fake.url], input="no json")
    assert (refused.exit_code, refused.stdout) == (2, "")
    away = CliRunner().invoke(app, ["show", JOB, "--json", "--url", f"http://127.0.0.1:{free_port()}"])
    assert (away.exit_code, away.stdout) == (4, "")
    told = json.loads(away.stderr)
    assert (told["object"], told["code"]) == ("error", "server_unreachable")
    assert "ridgeline up" in told["message"]


def test_with_json_a_refusal_of_the_server_is_told_with_its_faults() -> None:
    faults = [{"pointer": "/epochs", "code": "greater_than_equal", "message": "should be at least 1"}]
    told = terminal._document(ApiError(422, "invalid_spec", "one thing is wrong", faults, "req_1"))
    assert told == {
        "object": "error",
        "status": 422,
        "code": "invalid_spec",
        "message": "one thing is wrong",
        "errors": faults,
        "request_id": "req_1",
    }

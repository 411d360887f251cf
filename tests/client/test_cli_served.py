"""The commands on data sets, checkpoints and numbers, against a real service that holds a job with all of them."""

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from client.cli import app
from contract.artifacts import LocalFolder
from contract.settings import Settings
from contract.store import Store
from tests.client.served import serving
from tests.service.conftest import Hands
from tests.uploading import npz

UNKNOWN = "job_" + "0" * 26


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Settings:
    folder = tmp_path_factory.mktemp("served")
    shutil.copy(migrated_sqlite, folder / "ridgeline.db")
    return Settings(
        database_url=f"sqlite:///{folder}/ridgeline.db",
        redis_url="redis://127.0.0.1:1/0",
        artifacts_folder=folder / "artifacts",
        scratch_folder=folder / "scratch",
        reconcile_seconds=3600,
    )


@pytest.fixture(scope="module")
def url(settings: Settings) -> Iterator[str]:
    with serving(settings) as made:
        yield made


@pytest.fixture(scope="module")
def job_id(url: str, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A job of two epochs that has succeeded."""
    made = CliRunner().invoke(app, ["submit", "-", "--url", url], input='{"dataset": {"kind": "fake"}, "epochs": 2}').stdout.strip()
    store = Store(settings.database_url)
    hands = Hands(store, LocalFolder(settings.artifacts_folder), tmp_path_factory.mktemp("hands"))
    lease = hands.claim(made)
    for epoch, loss in ((1, 0.5), (2, 0.25)):
        hands.epoch(lease, epoch, **{"train.loss": loss / 2, "val.loss": loss})
        hands.checkpoint(lease, epoch, loss)
    hands.succeed(lease)
    store.close()
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.npz"
    path.write_bytes(npz())
    return path


def run(url: str, *words: str | Path) -> Result:
    return CliRunner().invoke(app, [*map(str, words), "--url", url])


def test_a_data_set_is_uploaded_once_listed_and_deleted(url: str, file: Path) -> None:
    made = run(url, "datasets", "upload", file, "--name", "three classes").stdout.strip()
    assert made.startswith("ds_")
    assert run(url, "datasets", "upload", file).stdout.strip() == made
    [listed] = [line for line in run(url, "datasets", "list").stdout.splitlines() if made in line]
    assert all(shown in listed for shown in ("three classes", "3 classes", "float64"))
    deleted = run(url, "datasets", "delete", made)
    assert (deleted.exit_code, deleted.stdout) == (0, f"{made} deleted\n")
    assert made not in run(url, "datasets", "list").stdout


def test_what_commands_on_data_sets_print_as_json_is_what_the_service_said(url: str, file: Path) -> None:
    made = json.loads(run(url, "datasets", "upload", file, "--json").stdout)
    assert (made["object"], made["name"], made["train_rows"] + made["test_rows"]) == ("dataset", "mine.npz", 30)
    assert made in json.loads(run(url, "datasets", "list", "--json").stdout)["data"]
    assert json.loads(run(url, "datasets", "delete", made["id"], "--json").stdout) == {
        "object": "dataset",
        "id": made["id"],
        "deleted": True,
    }


def test_a_data_set_that_a_job_waits_for_is_not_deleted_and_the_reason_told(url: str, file: Path) -> None:
    made = run(url, "datasets", "upload", file).stdout.strip()
    spec = {"dataset": {"kind": "uploaded", "id": made}, "model": {"kind": "mlp"}, "epochs": 1}
    waiting = CliRunner().invoke(app, ["submit", "-", "--url", url], input=json.dumps(spec))
    assert waiting.exit_code == 0, waiting.stderr
    refused = run(url, "datasets", "delete", made)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert waiting.stdout.strip() in refused.stderr
    run(url, "cancel", waiting.stdout.strip())
    assert run(url, "datasets", "delete", made).exit_code == 0


def test_a_file_that_is_no_data_set_is_refused_with_what_is_wrong(url: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.npz"
    file.write_bytes(npz(x=[[1.0], [2.0]], z=[0, 1]))
    refused = run(url, "datasets", "upload", file)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "422 invalid_dataset" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("name", ["not-there.npz", "."])
def test_a_file_that_is_none_is_wrong_usage_before_anything_is_sent(tmp_path: Path, name: str) -> None:
    refused = run("http://127.0.0.1:1", "datasets", "upload", tmp_path / name)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "is no file" in " ".join(refused.stderr.split())


def test_a_checkpoint_is_pinned_and_let_go(url: str, job_id: str) -> None:
    pinned = run(url, "pin", job_id, "best").stdout.split()
    assert (pinned[0][:5], pinned[1:]) == ("ckpt_", ["pinned"])
    assert json.loads(run(url, "pin", job_id, pinned[0], "--json").stdout)["pinned"] is True
    assert run(url, "pin", job_id, "best", "--off").stdout == f"{pinned[0]} not pinned\n"


def test_numbers_are_printed_as_csv_with_a_column_for_each_that_was_asked_for(url: str, job_id: str) -> None:
    rows = [*csv.DictReader(run(url, "metrics", job_id).stdout.splitlines())]
    assert [(row["epoch"], row["train.loss"], row["val.loss"]) for row in rows] == [("1", "0.25", "0.5"), ("2", "0.125", "0.25")]
    [first, _] = csv.DictReader(run(url, "metrics", job_id, "--name", "val.loss").stdout.splitlines())
    assert (first["val.loss"], "train.loss" in first) == ("0.5", False)
    both = run(url, "metrics", job_id, "--name", "val.loss", "--name", "train.loss", "--json")
    assert [set(point["values"]) for point in json.loads(both.stdout)["data"]] == [{"train.loss", "val.loss"}] * 2


@pytest.mark.parametrize(
    "words",
    [
        ("metrics", UNKNOWN), ("pin", UNKNOWN, "best"), ("pin", "JOB", "worst"), ("datasets", "delete", "ds_" + "0" * 26),
        ("datasets", "delete", "nonsense"), ("show", UNKNOWN), ("watch", UNKNOWN), ("checkpoint", "JOB", "worst"), ("compare", "JOB", UNKNOWN),
    ],
)  # fmt: skip
def test_what_is_not_there_is_code_2_and_one_line_that_names_it(url: str, job_id: str, words: tuple[str, ...]) -> None:
    done = run(url, *(job_id if word == "JOB" else word for word in words))
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("404 not_found: ")
    assert done.stderr.count("\n") == 1

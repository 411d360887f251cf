"""Data of the user's own, through the whole service: uploaded, trained on, paused and gone on with, named in the result, deleted."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from typer.testing import CliRunner

from client import cli
from client.errors import ApiError
from client.sdk import Client
from tests.up import ROOT, Up
from tests.uploading import npz

pytestmark = pytest.mark.journey


def test_uploaded_digits_are_trained_to_nine_in_ten_and_named_in_the_result(up: Up, tmp_path: Path) -> None:
    digits = load_digits()
    np.savez_compressed(tmp_path / "digits.npz", x=digits.images.astype(np.uint8)[:, None], y=digits.target)
    headers = {"Content-Type": "application/octet-stream", "Content-Disposition": 'attachment; filename="digits.npz"'}
    reply = up.http.post("/v1/datasets", content=(tmp_path / "digits.npz").read_bytes(), headers=headers)
    assert reply.status_code == 201, reply.text
    made = reply.json()
    spec = {
        "dataset": {"kind": "uploaded", "id": made["id"], "test_fraction": 0.2},
        "model": {"kind": "mlp", "hidden": [64]},
        "optimizer": {"kind": "adam", "lr": 0.003},
        "penalties": [{"kind": "l2", "lambda": 1e-4}],
        "epochs": 15,
    }
    job = up.submit(spec)
    assert up.http.delete(made["links"]["self"]).status_code == 409
    done = up.ended(job["id"])
    assert done["status"] == "succeeded", done["error"]
    result = up.http.get(job["links"]["result"]).json()
    assert result["metrics"]["test.accuracy"] > 0.9
    assert (result["data"]["name"], result["data"]["sha256"]) == ("digits.npz", made["sha256"])
    assert (result["data"]["test_rows"], result["data"]["train_rows"] + result["data"]["validation_rows"]) == (359, 1438)

    again = up.submit(done["spec"])
    longer = up.http.post(job["links"]["extend"], json={"epochs": 1}).json()
    results = [up.http.get(up.ended(each["id"])["links"]["result"]).json() for each in (again, longer)]
    assert results[0]["layers"] == result["layers"]
    assert results[1]["epochs"] == 16
    assert up.http.delete(made["links"]["self"]).status_code == 204


def test_the_sdk_and_the_command_line_upload_list_and_delete(up: Up, tmp_path: Path) -> None:
    (file := tmp_path / "three.npz").write_bytes(npz(7))
    (broken := tmp_path / "broken.npz").write_bytes(npz(7)[:-9])

    def ridgeline(*words: str) -> str:
        shown = CliRunner().invoke(cli.app, [*words, "--url", up.url])
        assert shown.exit_code == 0, shown.output
        return shown.output.strip()

    with Client(up.url) as client:
        made = client.upload_dataset(file)
        assert made["name"] == "three.npz"
        assert ridgeline("datasets", "upload", str(file)) == made["id"]
        assert made["id"] in ridgeline("datasets", "list")
        assert client.dataset(made["id"]) in json.loads(ridgeline("datasets", "list", "--json"))["data"]
        with pytest.raises(ApiError, match="invalid_dataset"):
            client.upload_dataset(broken)
        assert "deleted" in ridgeline("datasets", "delete", made["id"])
        assert made["id"] not in [found["id"] for found in client.datasets()]


def test_the_example_of_the_docs_does_what_it_says(up: Up, tmp_path: Path) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / "data.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    program = [sys.executable, "-c", f"URL = {up.url!r}\n{example}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    shown = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert shown.returncode == 0, shown.stderr
    assert float(shown.stdout) > 0.9

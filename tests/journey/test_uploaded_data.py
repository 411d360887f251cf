"""Data of the user's own, through the whole service: uploaded, trained on, paused and gone on with, named in the result, deleted."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tests.up import Up

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

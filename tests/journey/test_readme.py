"""What the README shows is what happens: its curl tour and its ten-line penalty are run as they stand there."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from tests.up import ROOT, Up

pytestmark = pytest.mark.journey

README = (ROOT / "README.md").read_text()
TRAIN = """
from pathlib import Path
from contract.spec import JobSpec
from worker.training import build, fit
penalty = {"kind": "huber", "lambda": 0.01}
spec = JobSpec.model_validate({"dataset": {"kind": "fake"}, "model": {"kind": "linear"}, "penalties": [penalty], "epochs": 2})
said = list(fit.fit(build.run(spec, Path("scratch"))))
(first, second) = [event.metrics for event in said if getattr(event, "type", "") == "epoch_done"]
assert abs(first["train.objective"] - first["train.loss"] - first["train.penalty.huber"]) < 1e-6, first
assert first["train.penalty.huber"] > 0, first
assert second["train.objective"] < first["train.objective"]
print("trained with huber")
"""


def block(language: str) -> str:
    """The README's one block in this language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    return found


@pytest.mark.skipif(shutil.which("curl") is None, reason="the tour is told with curl, which this machine does not have")
def test_the_tour_with_curl_does_what_it_says(up: Up, tmp_path: Path) -> None:
    # The images may be the full set here; the tour is the same with fewer epochs of them.
    lines = block("sh").replace("http://127.0.0.1:8000", up.url).replace('"epochs": 2', '"epochs": 1')
    shown = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", lines], cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False
    )
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("job_")
    for promised in [
        "event: epoch",
        '"to":"succeeded"',
        '"test.accuracy"',
        "did you mean 'lambda'?",
        '"relation":"extension"',
        '"status": 409',
    ]:
        assert promised in shown.stdout, shown.stdout
    assert load_file(tmp_path / "best.safetensors")["fc1.weight"].shape == (128, 3136)


def test_the_penalty_in_ten_lines_applies_type_checks_and_trains(tmp_path: Path) -> None:
    for room in ("contract", "worker"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__", "data"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "scratch").mkdir()
    if (ROOT / ".mypy_cache").is_dir():  # what mypy knows of torch already; to read it again takes a minute
        shutil.copytree(ROOT / ".mypy_cache", tmp_path / ".mypy_cache")
    diff = block("diff")
    assert sum(line.startswith("+") and not line.startswith("+++") and len(line.strip()) > 1 for line in diff.splitlines()) <= 12
    subprocess.run(["git", "apply", "--unidiff-zero", "-"], input=diff, text=True, cwd=tmp_path, check=True)
    types = subprocess.run(
        [sys.executable, "-m", "mypy", "contract/spec", "worker/training"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert types.returncode == 0, types.stdout
    trained = subprocess.run([sys.executable, "-c", TRAIN], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert trained.stdout == "trained with huber\n", trained.stderr

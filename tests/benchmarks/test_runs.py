"""A run of the benchmarks keeps to its time, touches no running service, and leaves a page."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as program
from benchmarks import marked, one
from benchmarks.figures import Absent
from contract.spec import JobSpec
from worker.training import build, serve

ROOT = Path(__file__).parents[2]


def test_once_its_time_is_over_a_run_breaks_off_says_so_and_still_writes_its_page(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    command = [sys.executable, "-m", "benchmarks", "--smoke", "--only", "gpu", "submit", "--seconds", "0.001", "--out", str(page)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "submit: left out" in done.stderr
    assert "**Not measured to the end**: the time was over" in page.read_text()
    scenarios = json.loads(page.with_suffix(".json").read_text())["scenarios"]
    assert [(each["name"], each["rows"], each["failure"]) for each in scenarios] == [
        (name, [], "the time was over") for name in ("gpu", "submit")
    ]


def test_a_scenario_that_breaks_leaves_the_rows_it_had_and_those_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = f"print('It breaks.'); print({one.to_line(Absent('a', 'b'))!r}); print('{{\"half', end='', flush=True); raise SystemExit(3)"
    whole = f"print('It does not.'); print({one.to_line(Absent('c', 'd'))!r})"
    monkeypatch.setattr(program, "_program", lambda name, _: [sys.executable, "-c", {"engine": broken, "gpu": whole}[name]])
    monkeypatch.setattr(sys, "argv", ["scripts/bench", "--smoke", "--only", "engine", "gpu", "--out", str(tmp_path / "page.md")])
    assert program.main() == 1
    for told in (capsys.readouterr().out, (tmp_path / "page.md").read_text()):
        assert "| a | absent: b |" in told
        assert "it ended with code 3" in told
        assert "| c | absent: d |" in told


def test_a_scenario_sees_nothing_of_the_service_that_this_shell_works_with(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    seen: dict[str, str] = {}

    class Looks:
        TITLE, NEEDS_STACK = "It looks about.", False

        def run(self, size: str) -> Iterator[Absent]:
            print("what a library says")
            seen.update(os.environ)
            yield Absent("anything", str(size))

    monkeypatch.setattr(one, "load", lambda _: Looks())
    monkeypatch.setenv("RIDGELINE_DATABASE_URL", "postgresql+psycopg://production/ridgeline")
    monkeypatch.setenv("RIDGELINE_DATA_FOLDER", "/data")
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    one.main("looks", "smoke")
    assert {name for name in seen if name.startswith("RIDGELINE_")} == {"RIDGELINE_DATA_FOLDER"}
    title, row = capsys.readouterr().out.splitlines()
    assert (title, one.from_line(row)) == ("It looks about.", Absent("anything", "smoke"))


def test_the_marking_trainer_marks_each_job_once_after_its_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "fit", serve.fit)
    marks, scratch = tmp_path / "marks", tmp_path / "job_1-7"
    scratch.mkdir()
    marked.mark_steps(marks)
    data = {"kind": "fake", "train_rows": 12, "test_rows": 4, "height": 8, "width": 8, "validation_fraction": 0}
    run = build.run(JobSpec.model_validate({"dataset": data, "model": {"kind": "linear"}, "batch_size": 4, "epochs": 1}), scratch)
    steps = [run.step for _ in serve.fit(run) if marked.read(marks)]
    assert steps[0] == 1
    assert list(marked.read(marks)) == ["job_1"]
    assert len(marks.read_text().splitlines()) == 1

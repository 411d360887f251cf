"""Every scenario can be run, and what happens in one process yields figures."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.figures import Absent, Row
from benchmarks.scenarios import NAMES, Scenario, Size, load

ROOT = Path(__file__).parents[2]
SCENARIOS = {name: load(name) for name in NAMES}


def test_every_file_of_the_folder_is_in_the_list() -> None:
    files = {file.stem for file in (ROOT / "benchmarks/scenarios").glob("*.py")} - {"__init__"}
    assert files == set(NAMES)


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_a_scenario_says_what_it_measures_in_one_line(scenario: Scenario) -> None:
    assert scenario.TITLE.endswith(".")
    assert "\n" not in scenario.TITLE


@pytest.mark.parametrize("name", [name for name, scenario in SCENARIOS.items() if not scenario.NEEDS_STACK])
def test_the_smallest_size_of_what_needs_no_server_yields_finite_figures(name: str) -> None:
    rows = list(SCENARIOS[name].run(Size.SMOKE))
    assert rows
    for row in rows:
        match row:
            case Absent():
                assert row.why
            case Row():
                figure = row.figure
                assert all(map(math.isfinite, (figure.median, figure.low, figure.high, *row.beside.values())))
                assert figure.low <= figure.median <= figure.high


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU: the test above has run it")
def test_without_a_gpu_that_scenario_says_so() -> None:
    (row,) = SCENARIOS["gpu"].run(Size.SMOKE)
    assert row == Absent("training on a GPU", "no GPU")


def test_the_gpu_scenario_asks_for_nothing_but_torch_and_pydantic() -> None:
    # A machine with a GPU may have no more than these: what else it imports must not be there.
    others = ("sqlalchemy", "fastapi", "celery", "redis", "httpx", "pydantic_settings", "safetensors", "torchvision", "structlog")
    program = f"""
import sys
for name in {others!r}:
    sys.modules[name] = None
from worker.training import lean
lean.spare_the_compiler()
from benchmarks import lessons, one
from benchmarks.peers import example_loop, handwritten, resident
from benchmarks import ours
from benchmarks.scenarios import gpu
list(gpu.run("smoke"))
lesson = lessons.fake(64)
print([round(peer.train(lesson).accuracy) for peer in (ours, example_loop, handwritten, resident)])
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr

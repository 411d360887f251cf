"""The Dockerfile is sound as far as can be known without a Docker engine: its lint, its sources, its commands' names."""

import fnmatch
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from contract.settings import Settings
from tests.deploy.image import DOCKERFILE, ROOT, TARGETS, stages

HADOLINT = Path(sys.executable).parent / "hadolint"
STAGES = stages()
COPIES = sorted({path for stage in STAGES.values() for line in stage.all("COPY") for path in line.split()[:-1]})


def test_hadolint_finds_nothing_to_say() -> None:
    linted = subprocess.run([HADOLINT, "--no-color", DOCKERFILE], capture_output=True, text=True, check=False)
    assert (linted.returncode, linted.stdout) == (0, "")


@pytest.mark.parametrize("source", [*COPIES, "constraints.txt"])
def test_what_is_copied_is_there_and_reaches_the_build(source: str) -> None:
    assert (ROOT / source).exists()
    assert f"!{source}" in (ROOT / ".dockerignore").read_text().splitlines()


def test_every_room_is_copied_into_the_build() -> None:
    packages = re.search(r"packages = \[(.*)\]", (ROOT / "pyproject.toml").read_text())
    assert packages is not None
    assert set(re.findall(r'"(\w+)"', packages[1])) <= set(COPIES)


def test_the_build_sees_nothing_that_is_not_named() -> None:
    """A database, a .env or a .venv lying in the checkout must not end in a layer."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    let_through = [line[1:] for line in lines if line.startswith("!")]
    assert not [each for each in let_through for secret in (".env", ".git", ".venv", "ridgeline-data") if fnmatch.fnmatch(secret, each)]


@pytest.mark.parametrize("target", TARGETS)
def test_a_command_names_a_program_of_ours(target: str) -> None:
    for command in (STAGES[target].command, STAGES[target].health_command):
        assert command[0] == "python"
        if command[1] == "-m":
            assert is_a_program(command[2]), f"`python -m {command[2]}` would find nothing to run"


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_does_not_run_as_root(target: str) -> None:
    uid = STAGES[target].all("USER")[-1]
    assert uid.isdecimal()
    assert int(uid) > 0
    assert STAGES[target].instructions[-1].verb == "CMD", "nothing after USER may need root"


@pytest.mark.parametrize("target", TARGETS)
def test_every_variable_of_an_image_is_a_setting(target: str) -> None:
    names = {name for name in STAGES[target].environment if name.startswith("RIDGELINE_")}
    assert names
    assert names <= {f"RIDGELINE_{field}".upper() for field in Settings.model_fields}


def test_an_image_alone_does_not_open_the_api_to_a_network() -> None:
    opening = {"RIDGELINE_ADMIN_KEY", "RIDGELINE_AUTH"}
    assert all(opening.isdisjoint(image.environment) for image in STAGES.values())


def test_torch_is_installed_in_the_worker_only() -> None:
    assert "torch" in " ".join(STAGES["worker"].all("RUN"))
    assert "torch" not in " ".join(STAGES["service"].all("RUN"))
    assert "[worker]" not in " ".join(STAGES["service"].all("RUN"))


@pytest.mark.parametrize("target", TARGETS)
def test_whatever_pip_installs_has_a_tested_version(target: str) -> None:
    installs = [line for line in STAGES[target].all("RUN") if "pip install" in line]
    assert installs
    assert [line for line in installs if "--constraint" not in line] == []


def is_a_program(module: str) -> bool:
    """Whether `python -m module` finds something to run."""
    spec = find_spec(module)
    if spec is None or spec.submodule_search_locations is None:
        return spec is not None
    return find_spec(f"{module}.__main__") is not None

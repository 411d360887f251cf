"""The tested versions cover what the project asks for, on every platform and from any index."""

import re
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "constraints.txt").read_text().splitlines()
PINS = {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in LINES if "==" in line}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [Requirement(each) for each in chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())]


def test_every_line_is_one_name_and_one_exact_version() -> None:
    assert [line for line in LINES if not re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9A-Za-z.]*", line)] == []
    assert len(PINS) == len(LINES)


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_every_dependency_has_a_tested_version_that_it_allows(requirement: Requirement) -> None:
    pin = PINS.get(canonicalize_name(requirement.name))
    assert pin is not None, f"add {requirement.name}==VERSION to constraints.txt"
    assert requirement.specifier.contains(pin), f"{requirement} does not allow the tested {pin}"


def test_what_a_dependency_brings_along_has_a_tested_version_too() -> None:
    brought = {name for name in _installed_because_of_us() if not _belongs_to_torch(name)}
    assert brought - PINS.keys() == set()


def test_what_torch_pins_itself_is_left_to_torch() -> None:
    """Those differ between platforms and builds of torch; a second pin here could only contradict the first."""
    assert [name for name in PINS if _belongs_to_torch(name)] == []


def _belongs_to_torch(name: str) -> bool:
    return name == "triton" or name.startswith(("nvidia-", "cuda-"))


def _installed_because_of_us() -> set[str]:
    """The project's dependencies and theirs, by the metadata of what is installed here."""
    todo, seen = list(REQUIREMENTS), set[tuple[str, frozenset[str]]]()
    while todo:
        requirement = todo.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key not in seen:
            seen.add(key)
            todo += [need for need in _needs(requirement) if _applies(need, requirement.extras)]
    return {str(name) for name, _ in seen}


def _needs(requirement: Requirement) -> list[Requirement]:
    try:
        found = Distribution.from_name(requirement.name)
    except PackageNotFoundError:
        # The peers of the benchmarks are installed by hand; what is needed otherwise is here, or nothing would run.
        assert str(requirement) in PROJECT["optional-dependencies"]["bench"]
        return []
    return [Requirement(each) for each in found.requires or []]


def _applies(requirement: Requirement, extras: set[str]) -> bool:
    return requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in {"", *extras})

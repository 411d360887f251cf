"""The rooms stay apart: who may import whom, what each may load, and that every module says what it decides."""

import ast
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("contract", "service", "worker", "client")
MODULES = [path.relative_to(ROOT) for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")) if "versions" not in path.parts]
ONLY_FOR_TRAINING = ("torch", "torchvision", "numpy", "safetensors")


def test_no_room_imports_what_it_must_not() -> None:
    """The rules are in pyproject.toml under tool.importlinter."""
    # In a process of its own: the linter sets up logging, which silences every logger that is there already.
    program = (
        f"import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports({str(ROOT / 'pyproject.toml')!r}, no_cache=True))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_is_the_one_of_this_checkout(room: str) -> None:
    spec = find_spec(room)
    assert spec is not None
    assert spec.origin == str(ROOT / room / "__init__.py")


@pytest.mark.parametrize("room", ROOMS)
def test_nothing_outside_the_training_room_loads_what_only_training_needs(room: str) -> None:
    """In a process of its own, so that an import hidden in a function called at import time is seen too."""
    names = [name for name in map(_import_name, MODULES) if name.split(".")[0] == room and _loads_without_training(name)]
    script = f"import sys, {', '.join(names)}; print([name for name in {ONLY_FOR_TRAINING} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert loaded.returncode == 0, loaded.stderr
    assert loaded.stdout.strip() == "[]", f"one of {names} loads them"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_every_module_starts_by_saying_what_it_decides(path: Path) -> None:
    code = ast.parse((ROOT / path).read_text())
    assert not code.body or ast.get_docstring(code), f"{path} needs a first line that says what it decides"


def _import_name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _loads_without_training(name: str) -> bool:
    """Not the training room, nor the program that opens uploads, nor what acts when it is imported: programs and alembic's env.py."""
    return not name.startswith(("worker.training", "service.intake")) and not name.endswith(".__main__") and ".migrations" not in name

"""Whatever a room shows others says what it is: each public module, class, function and method has its docstring."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("contract", "service", "worker", "client")
FOLDERS = sorted({path.parent for room in ROOMS for path in (ROOT / room).rglob("*.py") if path.parent.name != "versions"})

Documented = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def parsed(folder: Path) -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(folder.glob("*.py")):
        yield path, ast.parse(path.read_text())


def public(node: ast.AST) -> Iterator[Documented]:
    """What is public within a module or a class, and within a public class of it, in the order of the file."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Documented) and not child.name.startswith("_"):
            yield child
            if isinstance(child, ast.ClassDef):
                yield from public(child)


def methods(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield from (one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.relative_to(ROOT).as_posix())
def test_everything_public_says_what_it_is(folder: Path) -> None:
    """A method may leave that to another of its name in the same folder, to its base class or the protocol that it fills; one that says
    `@override` to its base class wherever that is."""
    trees = dict(parsed(folder))
    told = {method.name for tree in trees.values() for method in methods(tree) if ast.get_docstring(method)}
    silent = [str(path.relative_to(ROOT)) for path, tree in trees.items() if tree.body and not ast.get_docstring(tree)]
    for path, tree in trees.items():
        inherited = {id(method) for method in methods(tree) if method.name in told or "override" in map(ast.unparse, method.decorator_list)}
        silent += [
            f"{path.relative_to(ROOT)}:{node.lineno}: {node.name}"
            for node in public(tree)
            if not ast.get_docstring(node) and id(node) not in inherited
        ]
    assert silent == []

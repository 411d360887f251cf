"""What a model's schema says of its fields: the docstrings below them, read from the source when a schema is asked for.

pydantic's own `use_attribute_docstrings` reads them when a class is made, and its module anew for each class: 0.7 of the 2 CPU seconds in
which the API starts, and a good part of a worker's start, which never shows a schema.
"""

import ast
import inspect
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

from pydantic import BaseModel


def by_docstrings(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Gives each property of a model's JSON schema the docstring below its field, where no `Field` describes it in other words.

    Meant for `json_schema_extra` in the model's config, which classes below it inherit.
    """
    properties, docstrings = schema.get("properties", {}), _of(model)
    for name, field in model.model_fields.items():
        for shown in (name, field.alias):
            if field.description is None and name in docstrings and shown in properties:
                properties[shown]["description"] = docstrings[name]


def _of(model: type[BaseModel]) -> dict[str, str]:
    """By field; the words of the class itself before those of what it inherits from."""
    known: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel) and base is not BaseModel:
            known |= _in(base.__module__).get(base.__qualname__, {})
    return known


@cache
def _in(module: str) -> dict[str, dict[str, str]]:
    """By class and field. Empty where the source is not at hand."""
    try:
        source = inspect.getsource(sys.modules[module])
    except (OSError, TypeError):
        return {}
    return dict(_classes(ast.parse(source), ""))


def _classes(node: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[str, dict[str, str]]]:
    for inner in node.body:
        if isinstance(inner, ast.ClassDef):
            yield prefix + inner.name, dict(_fields(inner))
            yield from _classes(inner, f"{prefix}{inner.name}.")


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, below in zip(node.body, node.body[1:], strict=False):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, inspect.cleandoc(text)

"""What an example of a schema looks like, where nobody wrote one down or what was written lacks a field by now."""

from typing import Any, Final

Json = dict[str, Any]

_UNSAID: Final = object()
_WORDS: Final = {
    "date-time": "2026-11-22T07:15:00.123Z",
    "date": "2026-11-22",
    "uri": "https://example.org/hook",
    "email": "ada@example.org",
    "uuid": "6f1d9c1e-2f6b-4d0c-9a4e-2b7f3a1c5d80",
}
_DEPTH: Final = 12


def filled(schema: Json, schemas: Json, given: Any = _UNSAID, name: str = "", depth: int = 0) -> Any:
    """`given` with every required field that it lacks sketched; without it the whole. `schemas` are those that a `$ref` names."""
    schema = _resolved(schema, schemas)
    if options := schema.get("anyOf", schema.get("oneOf")):
        return filled(_option(options, schemas, given), schemas, given, name, depth)
    if isinstance(given, dict) or (given is _UNSAID and "properties" in schema):
        return _object(schema, schemas, given if isinstance(given, dict) else {}, depth)
    if isinstance(given, list):
        return [filled(schema.get("items", {}), schemas, item, name, depth + 1) for item in given]
    return _sketched(schema, schemas, name, depth) if given is _UNSAID else given


def _resolved(schema: Json, schemas: Json) -> Json:
    while "$ref" in schema:
        schema = schemas[schema["$ref"].rsplit("/", 1)[-1]]
    return schema


def _option(options: list[Json], schemas: Json, given: Any) -> Json:
    """The branch of a union that the value given is of; the first that is not null where none is given."""
    there = [_resolved(option, schemas) for option in options]
    kinds = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
    wanted = kinds.get(type(given))
    plain = [option for option in there if option.get("type") != "null"] or there
    return next((option for option in there if option.get("type") == wanted), plain[0])


def _object(schema: Json, schemas: Json, given: Json, depth: int) -> Json:
    required = () if depth > _DEPTH else schema.get("required", ())
    known = schema.get("properties", {})
    shown = {name: filled(known.get(name, {}), schemas, value, name, depth + 1) for name, value in given.items()}
    consts = [name for name, described in known.items() if "const" in described]
    for name in (*consts, *required):
        if name not in shown:
            shown[name] = filled(known.get(name, {}), schemas, _UNSAID, name, depth + 1)
    return {name: shown[name] for name in (*known, *shown) if name in shown}


def _sketched(schema: Json, schemas: Json, name: str, depth: int) -> Any:
    for word in ("const", "default"):
        if word in schema:
            return schema[word]
    for words in ("examples", "enum"):
        if schema.get(words):
            return schema[words][0]
    match schema.get("type"):
        case "array":
            least = min(schema.get("minItems", 1), 1) if depth <= _DEPTH else 0
            return [filled(schema.get("items", {}), schemas, _UNSAID, name, depth + 1)] * least
        case "object":
            return {}
        case "boolean":
            return False
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "string":
            return _WORDS.get(schema.get("format", ""), name or "text")
    return {}

"""Which examples and links the description of the API shows: a spec of each kind, every reply, and where a job leads."""

import json
from collections.abc import Iterator
from typing import Any, Final

from service import examples, problems, replies, sketch

Json = dict[str, Any]

METHODS: Final = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
_SCHEMAS: Final = "#/components/schemas/"
_EXAMPLES: Final = "#/components/examples/"


def of_specs() -> Json:
    """The named examples of a body that is a job spec; by reference, since two routes share them."""
    return {name: {"$ref": f"{_EXAMPLES}{name}"} for name, _, _ in examples.specs()}


def illustrate(document: Json) -> None:
    """Add examples and links to a description that is whole otherwise. An example that a route gives itself stays."""
    components, paths = document["components"], document["paths"]
    shown = components["examples"] = {name: {"summary": summary, "value": value} for name, summary, value in examples.specs()}
    for family in examples.FAMILIES.values():
        for member in examples.members(family):
            _tell_kind(components["schemas"][member.__name__], examples.kind(member))
    for schema in components["schemas"].values():
        _suit_generators(schema)
    for _, operation in operations(document):
        for status, reply in operation["responses"].items():
            _exemplify(status, reply, components["schemas"], shown)
    for path in ("/v1/jobs", "/v1/jobs/{job_id}/extend"):
        paths[path]["post"]["responses"]["201"]["links"] = dict(_links(document))


def operations(document: Json) -> Iterator[tuple[str, Json]]:
    """Path and description of every operation."""
    for path, item in document["paths"].items():
        for method in sorted(METHODS & set(item)):
            yield path, item[method]


def _tell_kind(schema: Json, shown: Json) -> None:
    """pydantic calls a field with a default optional; but without its `kind` an object of a family cannot be told from the others."""
    schema["examples"] = [shown]
    schema["required"] = ["kind", *(name for name in schema.get("required", ()) if name != "kind")]


def _suit_generators(schema: Json) -> None:
    """Say two things as generators of clients take them: they refuse a default that is an object, which goes into the words, and
    of a union with one constant they take the constant only, so that it becomes an enum of one."""
    for described in schema.get("properties", {}).values():
        if isinstance(described.get("default"), dict):
            default = described.pop("default")
            described["description"] = f"{described.get('description', '')} By default `{json.dumps(default)}`.".strip()
        for branch in described.get("anyOf", ()):
            if "const" in branch:
                branch["enum"] = [branch.pop("const")]


def _exemplify(status: str, reply: Json, schemas: Json, shown: Json) -> None:
    for media, content in reply.get("content", {}).items():
        shape = str(content.get("schema", {}).get("$ref", "")).removeprefix(_SCHEMAS)
        if not shape or "example" in content or "examples" in content:
            continue
        is_problem = media == problems.MEDIA_TYPE
        name = f"problem_{status}" if is_problem else shape
        if name not in shown:
            written = replies.problem(int(status)) if is_problem else replies.REPLIES.get(shape, {})
            shown[name] = {"value": sketch.filled(schemas[shape], schemas, written)}
        content["examples"] = {name: {"$ref": f"{_EXAMPLES}{name}"}}


def _links(document: Json) -> Iterator[tuple[str, Json]]:
    """Every page below a job, for the reply that names a new one."""
    for path, operation in operations(document):
        if path.startswith("/v1/jobs/{job_id}") and path.count("{") == 1:
            name = operation["operationId"]
            yield name, {"operationId": name, "parameters": {"job_id": "$response.body#/id"}}

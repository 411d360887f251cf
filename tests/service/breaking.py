"""Which changes between two descriptions of the API would break a client that was written for the older one."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]
Direction = Literal["asked", "answered"]

_METHODS = ("get", "put", "post", "delete", "head", "patch")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")


def changes(old: Json, new: Json) -> list[str]:
    """One line for each: something taken away, newly demanded, or of another type. What is only added breaks nobody."""
    return list(Comparison(old, new).operations())


@dataclass
class Comparison:
    """Two descriptions, and the pairs of shapes that were compared already: shapes may hold themselves."""

    old: Json
    new: Json
    seen: set[tuple[str, str, Direction]] = field(default_factory=set)

    def operations(self) -> Iterator[str]:
        for path, methods in self.old["paths"].items():
            for method in (known for known in _METHODS if known in methods):
                here, now = f"{method.upper()} {path}", self.new["paths"].get(path, {}).get(method)
                if now is None:
                    yield f"{here}: is gone"
                    continue
                if methods[method]["operationId"] != now["operationId"]:
                    yield f"{here}: is called {now['operationId']}, was {methods[method]['operationId']}"
                yield from self._parameters(here, methods[method], now)
                yield from self._body(here, methods[method].get("requestBody"), now.get("requestBody"))
                yield from self._replies(here, methods[method]["responses"], now["responses"])

    def _parameters(self, here: str, old: Json, new: Json) -> Iterator[str]:
        before, after = _by_name(old), _by_name(new)
        for key, parameter in after.items():
            if parameter.get("required") and not before.get(key, {}).get("required"):
                yield f"{here}: parameter {key[1]} is newly required"
        for key, parameter in before.items():
            if key not in after:
                yield f"{here}: parameter {key[1]} is gone"
            else:
                yield from self._schema(f"{here} parameter {key[1]}", parameter["schema"], after[key]["schema"], "asked")

    def _body(self, here: str, old: Json | None, new: Json | None) -> Iterator[str]:
        if new and new.get("required") and not (old and old.get("required")):
            yield f"{here}: a body is newly required"
        if old:
            yield from self._content(f"{here} body", old["content"], (new or {"content": {}})["content"], "asked")

    def _replies(self, here: str, old: Json, new: Json) -> Iterator[str]:
        for status, reply in old.items():
            if status not in new:
                # An error that can no longer happen breaks nobody.
                if status < "4":
                    yield f"{here}: {status} is gone"
                continue
            for name in set(reply.get("headers", {})) - set(new[status].get("headers", {})):
                yield f"{here} {status}: header {name} is gone"
            yield from self._content(f"{here} {status}", reply.get("content", {}), new[status].get("content", {}), "answered")

    def _content(self, here: str, old: Json, new: Json, direction: Direction) -> Iterator[str]:
        for media, content in old.items():
            if media not in new:
                yield f"{here}: {media} is gone"
            else:
                yield from self._schema(here, content.get("schema", {}), new[media].get("schema", {}), direction)

    def _schema(self, here: str, old: Json, new: Json, direction: Direction) -> Iterator[str]:
        names = (old.get("$ref", ""), new.get("$ref", ""), direction)
        if any(names[:2]):
            if names in self.seen:
                return
            self.seen.add(names)
        before, after = self._variants(old, self.old), self._variants(new, self.new)
        lost, come = set(before) - set(after), set(after) - set(before)
        if direction == "asked" and lost and "any" not in after:
            yield f"{here}: no longer takes {', '.join(sorted(lost))}"
        if direction == "answered" and come and "any" not in before:
            yield f"{here}: may be {', '.join(sorted(come))} now"
        for key in sorted(set(before) & set(after)):
            yield from self._variant(here, before[key], after[key], direction)

    def _variants(self, schema: Json, document: Json) -> dict[str, Json]:
        """The branches of a schema, by what tells them apart: their `kind`, else their type."""
        if "$ref" in schema:
            return self._variants(document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]], document)
        options = schema.get("anyOf") or schema.get("oneOf")
        if options:
            return {key: branch for option in options for key, branch in self._variants(option, document).items()}
        kind = schema.get("properties", {}).get("kind", {}).get("const")
        plain = schema.get("type") or {str: "string", int: "integer", bool: "boolean"}.get(type(schema.get("const")), "any")
        return {f"kind {kind}" if kind else str(plain): schema}

    def _variant(self, here: str, old: Json, new: Json, direction: Direction) -> Iterator[str]:
        if direction == "asked":
            yield from self._narrowed(here, old, new)
        before, after = old.get("properties", {}), new.get("properties", {})
        for name in before:
            if name not in after:
                yield f"{here}: field {name} is gone"
            else:
                yield from self._schema(f"{here}.{name}", before[name], after[name], direction)
        demanded = set(new.get("required", ())) - set(old.get("required", ()))
        unsure = (set(old.get("required", ())) - set(new.get("required", ()))) & set(after)
        for name in sorted(demanded if direction == "asked" else unsure):
            yield f"{here}: field {name} is {'newly required' if direction == 'asked' else 'no longer always there'}"
        for inner in ("items", "additionalProperties"):
            if isinstance(old.get(inner), dict) and isinstance(new.get(inner), dict):
                yield from self._schema(f"{here}[]", old[inner], new[inner], direction)

    def _narrowed(self, here: str, old: Json, new: Json) -> Iterator[str]:
        gone = _values(old) - _values(new) if _values(new) else set()
        if gone:
            yield f"{here}: no longer takes the value {', '.join(sorted(gone))}"
        for word in _UPPER:
            if word in new and new[word] < old.get(word, float("inf")):
                yield f"{here}: {word} is {new[word]}, was {old.get(word, 'none')}"
        for word in _LOWER:
            if word in new and new[word] > old.get(word, float("-inf")):
                yield f"{here}: {word} is {new[word]}, was {old.get(word, 'none')}"


def _by_name(operation: Json) -> dict[tuple[str, str], Json]:
    return {(parameter["in"], parameter["name"]): parameter for parameter in operation.get("parameters", [])}


def _values(schema: Json) -> set[str]:
    return {str(value) for value in schema.get("enum", [schema["const"]] if "const" in schema else [])}

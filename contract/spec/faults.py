"""How a refusal of a spec is told: one pointer, one code, one sentence with the remedy for each fault."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a spec. `path` leads to the value; `pointer` is the same as a JSON pointer (RFC 6901)."""

    path: Path
    code: str
    message: str

    @property
    def pointer(self) -> str:
        return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in self.path)


def of(error: ValidationError, given: object, root: type[BaseModel]) -> list[Fault]:
    """Every fault of a ValidationError raised by `root` on `given`, one for each pointer and code, in the order of the spec.

    The values given are never repeated, only names of fields and kinds: a value could be a secret.
    """
    found: dict[tuple[Path, str], Fault] = {}
    for fault in _faults(error.errors(include_url=False), given, root):
        number = next((key for key in found if key[0] == fault.path), None)
        if fault.code == "literal_error" and number:
            # A number or a word, as in batch_size: two errors of pydantic's, one fault of the user's.
            found[number] = replace(found[number], message=f"{found[number].message}, or {fault.message.removeprefix('should be ')}")
        else:
            found.setdefault((fault.path, fault.code), fault)
    return list(found.values())


def nearest(name: str, known: Sequence[str]) -> str | None:
    """The known name most like `name`, whatever its case; None when nothing is near."""
    folded = {candidate.casefold(): candidate for candidate in known}
    match = get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.6)
    return folded[match[0]] if match else None


def _faults(errors: Sequence[Any], given: object, root: type[BaseModel]) -> Iterator[Fault]:
    for error in errors:
        path = _path(error["loc"], given)
        match error["type"]:
            case "default_factory_not_called":
                continue  # a default that depends on a field which has a fault of its own
            case "extra_forbidden":
                known = _fields_at(root, path[:-1], given)
                yield Fault(path, "unknown_field", _unknown(str(path[-1]) if path else "", known))
            case "union_tag_invalid":
                kinds = [kind.strip().strip("'") for kind in error["ctx"]["expected_tags"].split(",")]
                near = nearest(str(error["ctx"]["tag"]), kinds)
                hint = f"did you mean '{near}'? " if near else ""
                yield Fault((*path, "kind"), "unknown_kind", f"no such kind; {hint}one of {', '.join(kinds)}")
            case "union_tag_not_found":
                yield Fault((*path, "kind"), "missing", 'say which kind, as in {"kind": …}')
            case "missing":
                yield Fault(path, "missing", "this field is required")
            case "literal_error":
                yield Fault(path, "literal_error", str(error["msg"]).replace("Input should", "should"))
            case kind:
                yield Fault(path, kind, _told(error))


def _told(error: Any) -> str:
    """pydantic's sentence in the words of a JSON document, with the number or the type that was found."""
    message = str(error["msg"]).removeprefix("Value error, ").replace("Input should", "should").replace("a valid dictionary", "an object")
    message = message.split(" or instance of ")[0].split(" or object to extract")[0]
    if error["type"] == "value_error":
        return message
    match error["input"]:
        case bool() | None:
            return f"{message}, got {json.dumps(error['input'])}"
        case int() | float() as number:
            return f"{message}, got {number:.6g}" if abs(number) < 1e300 else message
        case str():
            return f"{message}, got a string" if error["type"].endswith("_type") else message
        case list():
            return f"{message}, got a list" if error["type"].endswith("_type") else message
    return message


def _path(loc: Sequence[str | int], given: object) -> Path:
    """The location in the document: pydantic's, without the union tags and branch names that stand in no document."""
    path: list[str | int] = []
    here = given
    for index, part in enumerate(loc):
        last = index == len(loc) - 1
        if isinstance(here, Mapping):
            if part in here:
                path.append(part)
                here = here[part]
            elif last and part != here.get("kind"):
                path.append(part)
        elif isinstance(here, Sequence) and not isinstance(here, str) and isinstance(part, int):
            path.append(part)
            here = here[part] if part < len(here) else None
    return tuple(path)


def _unknown(name: str, known: Sequence[str]) -> str:
    shown = name if name.isprintable() and len(name) <= 64 else "this"
    near = nearest(name, known)
    if near:
        return f"unknown field '{shown}'; did you mean '{near}'?"
    return f"unknown field '{shown}'; the fields here are {', '.join(known)}" if known else f"unknown field '{shown}'"


def _fields_at(model: type[BaseModel], path: Path, given: object) -> list[str]:
    """The names a document may use in the object at `path`, following each union by the `kind` given."""
    here: Any = model
    for part in path:
        given = given[part] if isinstance(given, Mapping | Sequence) and not isinstance(given, str) else None  # type: ignore[index]
        if isinstance(part, str):
            if not (isinstance(here, type) and issubclass(here, BaseModel)):
                return []
            field = next((f for n, f in here.model_fields.items() if (f.alias or n) == part), None)
            if field is None:
                return []
            here = field.annotation
        here = _choose(here, given)
    if isinstance(here, type) and issubclass(here, BaseModel):
        return [field.alias or name for name, field in here.model_fields.items()]
    return []


def _choose(annotation: Any, given: object) -> Any:
    """The one spec class that `annotation` offers for `given`."""
    kind = given.get("kind") if isinstance(given, Mapping) else None
    options = list(_classes(annotation))
    named = [option for option in options if "kind" in option.model_fields and option.model_fields["kind"].default == kind]
    return named[0] if named else options[0] if len(options) == 1 else annotation


def _classes(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    inner = get_args(annotation)
    for option in inner[:1] if get_origin(annotation) is Annotated else inner:
        yield from _classes(option)

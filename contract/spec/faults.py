"""How a refusal of a spec is told: one pointer, one code, one sentence with the remedy for each fault."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache, lru_cache
from itertools import islice
from typing import Annotated, Any, Final, get_args, get_origin

from pydantic import BaseModel, ValidationError

Path = tuple[str | int, ...]

# What other libraries' users write, and how it is said here. Looked up only where the name is unknown.
_SAID_HERE: Final = {
    "learning_rate": "it is called lr, and is a field of the optimizer",
    "max_lr": "the peak is the optimizer's lr",
    "eta_min": "the end is min_factor, a share of the optimizer's lr",
    "T_max": "the schedule lasts as long as the job's epochs",
    "step_size": "it is called step_epochs, in epochs",
    "momentum": "sgd, rmsprop and muon call it so; in adam and its kin it is the first of betas, in momentum_ema beta",
    "weight_decay": "add it to penalties: as l2 (into the gradient, as torch's Adam and SGD) or decoupled_decay (beside the step, as AdamW)",
}


MOST: Final = 150
"""Of pydantic's faults those that are looked at: each costs the time to find what may have been meant, and nobody mends so many at once."""
_QUOTED: Final = re.compile(r"'([^']+)'")
_LONGEST_WORD: Final = 64
_ECHOES: Final = frozenset({"too_short", "literal_error"})
"""Of a fault inside of the value: a list of one wrong item is not too short, nor a wrong word."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a spec. `path` leads to the value; `pointer` is the same as a JSON pointer (RFC 6901)."""

    path: Path
    code: str
    message: str

    @property
    def pointer(self) -> str:
        """Where it is, as a JSON pointer (RFC 6901); empty for the document itself."""
        return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in self.path)


def of(error: ValidationError, given: object, root: type[BaseModel]) -> list[Fault]:
    """The faults of a ValidationError raised by `root` on `given`, one for each pointer and code, in the order of the spec: all of
    them, or of the first `MOST`.

    The values given are never repeated, only names of fields and kinds: a value could be a secret.
    """
    found: dict[tuple[Path, str], Fault] = {}
    codes: dict[Path, list[str]] = {}
    for fault in _faults(islice(error.errors(include_url=False), MOST), given, root):
        here = codes.setdefault(fault.path, [])
        other = next((code for code in here if "literal_error" in (code, fault.code)), None)
        if other and other != fault.code:
            here.remove(other)
            fault = _either(found.pop((fault.path, other)), fault)
        here.append(fault.code)
        found.setdefault((fault.path, fault.code), fault)
    # No fault is compared with every other one: a spec can be made to have many thousands.
    around = {path[:depth] for path, _ in found for depth in range(len(path))}
    return [fault for fault in found.values() if not (fault.path in around and fault.code in _ECHOES)]


def _either(one: Fault, other: Fault) -> Fault:
    """One fault for a value that may be a word or something else, as in `batch_size` and `on`: two of pydantic's, one of the user's."""
    word, rest = (one, other) if one.code == "literal_error" else (other, one)
    words = word.message.removeprefix("should be ").split("; did you mean")[0]
    if rest.code == "tuple_type":
        return replace(rest, message=f"should be {words}, or {rest.message.removeprefix('should be ')}")
    if rest.code == "too_short":
        return rest  # it is a list, so that no word was meant
    return replace(rest, message=f"{rest.message}, or {words}")


def nearest(name: str, known: Sequence[str]) -> str | None:
    """The known name most like `name`, whatever its case; None when nothing is near."""
    return None if len(name) > _LONGEST_WORD else _nearest(name, tuple(known))


# The comparison is what a refusal takes longest for, and the same mistake is often made more than once.
@lru_cache(maxsize=1024)
def _nearest(name: str, known: tuple[str, ...]) -> str | None:
    folded = {candidate.casefold(): candidate for candidate in known}
    match = get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.6)
    return folded[match[0]] if match else None


def suggested(message: str, given: object) -> str:
    """A message that lists words in quotes, with the one of them that `given` is most like."""
    near = nearest(given, _QUOTED.findall(message)) if isinstance(given, str) else None
    return f"{message}; did you mean '{near}'?" if near else message


def _faults(errors: Iterable[Any], given: object, root: type[BaseModel]) -> Iterator[Fault]:
    for error in errors:
        path = _path(error["loc"], given)
        match error["type"]:
            case "default_factory_not_called":
                continue  # a default that depends on a field which has a fault of its own
            case "extra_forbidden":
                yield Fault(path, "unknown_field", _unknown(str(path[-1]) if path else "", _class_at(root, path[:-1], given)))
            case "union_tag_invalid":
                kinds = [kind.strip().strip("'") for kind in error["ctx"]["expected_tags"].split(",")]
                near = nearest(str(error["ctx"]["tag"]), kinds)
                hint = f"did you mean '{near}'? " if near else ""
                yield Fault((*path, "kind"), "unknown_kind", f"no such kind; {hint}one of {', '.join(kinds)}")
            case "union_tag_not_found":
                yield Fault((*path, "kind"), "missing", 'say which kind, as in {"kind": …}')
            case "missing":
                yield Fault(path, "missing", f"this {'value' if isinstance(error['loc'][-1], int) else 'field'} is required")
            case "too_short":
                yield Fault(path, "too_short", _sized("least", error["ctx"]["min_length"], error["ctx"]["actual_length"]))
            case "too_long":
                yield Fault(path, "too_long", _sized("most", error["ctx"]["max_length"], error["ctx"]["actual_length"]))
            case "literal_error":
                yield Fault(path, "literal_error", suggested(str(error["msg"]).replace("Input should", "should"), error["input"]))
            case kind:
                yield Fault(path, kind, _told(error))


def _sized(bound: str, items: int, found: int | None) -> str:
    got = "" if found is None else f", got {found}"
    return f"should have at {bound} {items} item{'' if items == 1 else 's'}{got}"


def _told(error: Any) -> str:
    """pydantic's sentence in the words of a JSON document, with the number or the type that was found."""
    message = str(error["msg"]).removeprefix("Value error, ").replace("Input should", "should").replace("a valid dictionary", "an object")
    message = message.split(" or instance of ")[0].split(" or object to extract")[0].replace("a valid tuple", "a list")
    if error["type"] == "model_attributes_type":
        message += ' as in {"kind": …}'
    if error["type"] == "value_error":
        return message
    match error["input"]:
        case bool() | None:
            return f"{message}, got {json.dumps(error['input'])}"
        case int() as number if abs(number) < 10**15:
            return f"{message}, got {number}"
        case int() | float() as number:
            return f"{message}, got {number:.6g}" if abs(number) < 1e300 else message
        case str():
            return f"{message}, got a string" if error["type"].endswith("_type") else message
        case list():
            return f"{message}, got a list" if error["type"].endswith("_type") else message
        case dict():
            return f"{message}, got an object" if error["type"].endswith("_type") else message
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


def _unknown(name: str, here: type[BaseModel] | None) -> str:
    shown = name if name.isprintable() and len(name) <= 64 else "this"
    known = _names(here) if here else ()
    return f"unknown field '{shown}'{_remedy(name, here, known)}"


def _remedy(name: str, here: type[BaseModel] | None, known: Sequence[str]) -> str:
    """Where an unknown field belongs, or what it is called, or which fields there are."""
    inner = [outer for outer, classes in _inner(here).items() if any(name in _names(each) for each in classes)] if here else []
    if inner:
        return f"; it is a field of {' and of '.join(inner)}"
    if name in _SAID_HERE:
        return f"; {_SAID_HERE[name]}"
    if near := nearest(name, known):
        return f"; did you mean '{near}'?"
    return f"; the fields here are {', '.join(known)}" if known else ""


@cache
def _names(model: type[BaseModel]) -> tuple[str, ...]:
    """The names that a document may use in an object of `model`."""
    return tuple(field.alias or name for name, field in model.model_fields.items())


@cache
def _inner(model: type[BaseModel]) -> dict[str, tuple[type[BaseModel], ...]]:
    """Of each name the classes of which an object there, or in a list there, may be."""
    return {field.alias or name: tuple(_classes(field.annotation)) for name, field in model.model_fields.items()}


def _class_at(model: type[BaseModel], path: Path, given: object) -> type[BaseModel] | None:
    """The class of the object at `path`, following each union by the `kind` given."""
    here: tuple[type[BaseModel], ...] = (model,)
    for part in path:
        given = given[part] if isinstance(given, Mapping | Sequence) and not isinstance(given, str) else None  # type: ignore[index]
        if isinstance(part, str):
            here = _inner(here[0]).get(part, ()) if len(here) == 1 else ()
        here = _choose(here, given)
    return here[0] if len(here) == 1 else None


def _choose(options: tuple[type[BaseModel], ...], given: object) -> tuple[type[BaseModel], ...]:
    """The one of the classes that `given` says it is; all of them where it does not say."""
    kind = given.get("kind") if isinstance(given, Mapping) else None
    named = tuple(option for option in options if kind is not None and _kind(option) == kind)
    return named[:1] or options


@cache
def _kind(model: type[BaseModel]) -> object:
    """What objects of `model` say of their kind; None where they say nothing."""
    return model.model_fields["kind"].default if "kind" in model.model_fields else None


def _classes(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    inner = get_args(annotation)
    for option in inner[:1] if get_origin(annotation) is Annotated else inner:
        yield from _classes(option)

"""How the spec of a clone is made of its parent's, and whose each fault of it is."""

from dataclasses import replace
from typing import Any

from contract.errors import InvalidSpecError, StateConflictError
from contract.job import Job, Json
from contract.spec import JobSpec
from contract.spec.faults import Fault, Path
from service import specs
from service.actions import Clone


def spec(parent: Job, asked: Clone) -> JobSpec:
    """The spec of the new job.

    Raises InvalidSpecError with all its faults, each saying whether it came with the overrides, and StateConflictError where the job has
    no checkpoint of the name that `init_from` gives.
    """
    start = {} if asked.init_from is None else {"init_from": _checkpoint(parent, asked.init_from)}
    try:
        return specs.read(merged(parent.spec, asked.overrides) | start)
    except InvalidSpecError as error:
        raise InvalidSpecError([_told(fault, asked.overrides, parent) for fault in error.faults]) from None


def beside(parent: Job, overrides: Json) -> Json:
    """The fields that overrides change, whole."""
    whole = merged(parent.spec, overrides)
    return {name: whole.get(name, JobSpec.model_fields[name].get_default()) for name in overrides}


def merged(document: Any, patch: Any) -> Any:
    """The merge patch of RFC 7396, but that an object which is given another `kind` begins empty."""
    if not isinstance(patch, dict):
        return patch
    is_other = isinstance(document, dict) and "kind" in patch and patch["kind"] != document.get("kind")
    found = {} if is_other or not isinstance(document, dict) else dict(document)
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = merged(found.get(name), value)
    return found


def _checkpoint(parent: Job, name: str) -> str:
    known = {"best": parent.best_checkpoint_id or parent.checkpoint_id, "last": parent.checkpoint_id}
    if (found := known.get(name, name)) is None:
        raise StateConflictError(f"job {parent.id} has no checkpoint yet whose weights a clone could start from; drop init_from")
    return found


def _told(fault: Fault, overrides: Json, parent: Job) -> Fault:
    whose = "given in overrides" if _is_within(fault.path, overrides) else f"from the spec of {parent.id}"
    return replace(fault, message=f"{fault.message} ({whose})")


def _is_within(path: Path, overrides: Any) -> bool:
    """Whether the overrides decide the value that `path` leads to."""
    here = overrides
    for part in path:
        if not isinstance(here, dict):
            return True
        if part not in here:
            return False
        here = here[part]
    return True

"""How a document becomes a job spec, or the list of everything that is wrong with it."""

from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from contract.errors import InvalidSpecError, NotFoundError
from contract.spec import JobSpec, check, faults
from contract.spec.faults import Fault
from contract.store import Store, datasets

Resolve = Callable[[str], dict[str, Any]]
"""What is known of the uploaded data set with this id, as `resolved` of a spec holds it. Raises NotFoundError."""


def read(document: Any, store: Store, tenant: str) -> JobSpec:
    """The spec that `document` holds, on data sets of the tenant. Raises InvalidSpecError with all its faults."""
    return check_with(document, lambda dataset_id: resolved(datasets.get(store, tenant, dataset_id)))


def plain(document: Any) -> JobSpec | None:
    """The spec of a document without a fault, on data that need not be looked up: most are so, and take a fraction of a millisecond.

    None where only `read` can tell, which may ask the store, and takes its time to find what somebody may have meant.
    """
    if isinstance(document, dict) and isinstance(given := document.get("dataset"), dict) and given.get("kind") == "uploaded":
        return None
    try:
        spec = JobSpec.model_validate(document)
    except ValidationError:
        return None
    return None if check.faults(spec) else spec


def check_with(document: Any, resolve: Resolve) -> JobSpec:
    """The same, whoever knows of data sets."""
    document, missing = _resolved(document, resolve)
    try:
        spec = JobSpec.model_validate(document)
    except ValidationError as error:
        raise InvalidSpecError([*faults.of(error, document, JobSpec), *missing]) from None
    if found := missing or check.faults(spec):
        raise InvalidSpecError(found)
    return spec


def resolved(dataset: datasets.Dataset) -> dict[str, Any]:
    """What a spec says of an uploaded data set."""
    channels, height, width = dataset.facts["shape"]
    told = {name: dataset.facts[name] for name in ("outputs", "targets", "train_rows", "unlabelled_rows", "test_rows")}
    return {"name": dataset.name, "sha256": dataset.sha256, "channels": channels, "height": height, "width": width, **told}


def _resolved(document: Any, resolve: Resolve) -> tuple[Any, list[Fault]]:
    """The document with what is known of the uploaded set that it names, whatever it says of it itself."""
    given = document.get("dataset") if isinstance(document, dict) else None
    if not isinstance(given, dict) or given.get("kind") != "uploaded":
        return document, []
    # An id of another form is a fault of its own, told by the spec; it need not be asked for.
    missing: list[Fault] = []
    known = None
    if isinstance(given.get("id"), str) and datasets.ID.fullmatch(given["id"]):
        try:
            known = resolve(given["id"])
        except NotFoundError:
            missing.append(datasets.unknown())
    return {**document, "dataset": {**given, "resolved": known}}, missing

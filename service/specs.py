"""How a document becomes a job spec, or the list of everything that is wrong with it."""

from typing import Any

from pydantic import ValidationError

from contract.errors import InvalidSpecError
from contract.spec import JobSpec, check, faults


def read(document: Any) -> JobSpec:
    """The spec that `document` holds. Raises InvalidSpecError with all its faults."""
    try:
        spec = JobSpec.model_validate(document)
    except ValidationError as error:
        raise InvalidSpecError(faults.of(error, document, JobSpec)) from None
    if found := check.faults(spec):
        raise InvalidSpecError(found)
    return spec

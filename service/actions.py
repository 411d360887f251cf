"""What the body of an action on a job may say, and how it is read."""

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contract.continuation import Begin, Resume
from contract.spec import faults
from service.errors import InvalidBodyError


class Action(BaseModel):
    """Closed and strict, as everything that is asked here."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)


class Retry(Action):
    """How a job is tried again. Nothing of it has to be said: `{}` and an empty body retry the job where it stopped."""

    begin: Begin = "last"
    """`last` goes on from the last checkpoint, `start` begins anew."""
    resume: Resume | None = None
    """In place of the spec's `checkpoints.resume`: `anywhere` goes on where the class of machine that the job began on is gone."""


class Extension(Action):
    """For how much longer a job is trained."""

    epochs: Annotated[int, Field(ge=1, le=10_000)]
    """How many more, on top of the job's own; 10,000 in all at most."""


class Pin(Action):
    """What may be changed of a checkpoint."""

    pinned: bool
    """Whether it is kept whatever the job's checkpoint policy says. One that is let go of goes with the policy's next checkpoint."""


Asked = TypeVar("Asked", bound=Action)


def read(kind: type[Asked], document: Any) -> Asked:
    """What `document` asks for. Raises InvalidBodyError with everything that is wrong with it."""
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise InvalidBodyError(faults.of(error, document, kind)) from None

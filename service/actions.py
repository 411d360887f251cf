"""What the body of an action on a job may say, and how it is read."""

from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from contract.continuation import Begin, Resume
from contract.described import by_docstrings
from contract.job import JobState
from contract.spec import MetadataKey, faults
from contract.spec.base import Text
from service.errors import InvalidBodyError

MAX_CHOSEN: Final = 100
MAX_LABELS: Final = 16
JobId = Annotated[str, Field(pattern=r"^job_[0-9a-z]{26}$", examples=["job_01kaj3v2m4n5p6q7r8s9t0v1w2"])]


class Action(BaseModel):
    """Closed and strict, as everything that is asked here."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra=by_docstrings)


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


class Cancel(Action):
    """How a job is ended. Nothing of it has to be said."""

    mode: Literal["graceful", "immediate"] = "graceful"
    """`graceful` lets a running job write a checkpoint first; `immediate` ends it as it is, back at its last checkpoint."""


class Change(Action):
    """What is to be different about a job (a merge patch, RFC 7396): what is left out stays as it is."""

    name: Text | None = None
    """Its new name; null takes it away."""
    metadata: dict[MetadataKey, Text | None] | None = None
    """Labels to set; a null takes that one away, and null in place of the object takes all of them."""
    priority: Annotated[int, Field(ge=-100, le=100)] | None = None
    """Its new priority, while it is queued; null means 0."""


class Clone(Action):
    """What the new job has otherwise than the one it is made from. Nothing of it has to be said."""

    overrides: dict[str, Any] = {}
    """A merge patch (RFC 7396) of the spec: objects are merged, null brings a default back, all else is replaced. An object that is
    given another `kind` is replaced as a whole: the fields of the old kind mean nothing to it."""
    init_from: Annotated[str, Field(pattern=r"^(best|last|ckpt_[0-9a-z]{26})$")] | None = None
    """The checkpoint whose weights it starts from: `best` or `last` of the job it is made from, or any of yours by its id."""
    extend_epochs: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Train on from where the job, which has succeeded, ended, for so many epochs more; as `/extend` does. Then `overrides` can only
    change `name`, `metadata`, `priority` and `limits`."""

    @model_validator(mode="after")
    def _extends_as_it_is(self) -> Self:
        if self.extend_epochs is None:
            return self
        if self.init_from is not None:
            raise ValueError(
                "extend_epochs goes on from the last checkpoint with all that training remembers; drop init_from, or extend_epochs"
            )
        if other := sorted(set(self.overrides) - BESIDE_TRAINING):
            raise ValueError(f"extend_epochs goes on with the same training; drop {', '.join(other)} from overrides, or extend_epochs")
        return self


BESIDE_TRAINING: Final = frozenset({"name", "metadata", "priority", "limits"})
"""Fields of a spec that the training does not depend on."""


class Choice(Action):
    """Which jobs are meant: those with these ids, or up to 100 of those that pass the filters."""

    ids: Annotated[list[JobId], Field(min_length=1, max_length=MAX_CHOSEN)] | None = None
    """Their ids."""
    status: Annotated[list[Annotated[JobState, Field(strict=False)]], Field(min_length=1, max_length=8)] | None = None
    """Those in one of these states."""
    label: Annotated[dict[MetadataKey, Text], Field(min_length=1, max_length=16)] | None = None
    """Those with all of these labels."""

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Self:
        filtered = self.status is not None or self.label is not None
        if filtered == (self.ids is not None):
            raise ValueError("give either ids, or status and label; to mean every job name every status")
        return self


BODIES: Final = (Retry, Extension, Cancel, Change, Clone, Choice, Pin)

Asked = TypeVar("Asked", bound=Action)


def too_many_labels(count: int) -> faults.Fault:
    """The fault of a change after which the job would have `count` labels."""
    return faults.Fault(("metadata",), "too_long", f"the job would have {count} labels; {MAX_LABELS} at most: take one away with null")


def read(kind: type[Asked], document: Any) -> Asked:
    """What `document` asks for. Raises InvalidBodyError with everything that is wrong with it."""
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise InvalidBodyError(faults.of(error, document, kind)) from None

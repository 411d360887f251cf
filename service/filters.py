"""Which jobs a list is asked for, and in which order."""

import math
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from contract.job import JobState
from contract.spec import MetadataKey
from contract.spec.base import Text
from contract.store import listing

_KEY: TypeAdapter[str] = TypeAdapter(MetadataKey)
_VALUE: TypeAdapter[str] = TypeAdapter(Text)


def _moment(given: Any) -> Any:
    """A time of RFC 3339. A plus sign that was not escaped arrives as a blank: it cannot mean anything else there."""
    if not isinstance(given, str):
        return given
    day, _, rest = given.partition("T")
    try:
        return datetime.fromisoformat(f"{day}T{rest.replace(' ', '+')}" if rest else given)
    except ValueError:
        raise ValueError("give a time with its offset, as 2026-11-22T07:15:00Z") from None


def _label(given: str) -> str:
    key, colon, value = given.partition(":")
    try:
        _KEY.validate_python(key), _VALUE.validate_python(value)
    except ValidationError:
        colon = ""
    if not colon:
        raise ValueError("a label is the key and the value of a metadata entry with a colon between, as team:vision")
    return given


Moment = Annotated[AwareDatetime, BeforeValidator(_moment)]
Label = Annotated[str, Field(max_length=300, examples=["team:vision"]), AfterValidator(_label)]


class Filters(BaseModel):
    """Which jobs a list shows."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    """Jobs a page."""
    cursor: str | None = None
    """`next_cursor` of the page before, under the same filters and the same order; 400 `bad_cursor` under others."""
    status: Annotated[list[JobState], Field(max_length=16)] = []
    """Only jobs in this status; repeat it for several."""
    label: Annotated[list[Label], Field(max_length=16)] = []
    """Only jobs with this entry in `metadata`, as `team:vision`; repeat it for several, all of which they must have."""
    created_after: Moment | None = None
    """Only jobs submitted after this time (RFC 3339), to the millisecond as `created_at` shows it."""
    created_before: Moment | None = None
    """Only jobs submitted before this time."""
    q: Annotated[Text, Field(min_length=1)] | None = None
    """Only jobs whose name or id contains this, in upper or lower case."""
    parent: Annotated[str, Field(pattern=r"^job_[0-9a-z]{26}$")] | None = None
    """Only jobs that were made from this one: retries, extensions and clones."""
    sort: listing.Sort = "-created_at"
    """`-created_at` shows the newest first, `-priority` those of the highest priority, in the order in which a queue takes them."""

    def read(self) -> listing.Filters:
        """As the store takes them. Times are shown to the millisecond, cut off: that is what a client compares with."""
        after, before = self.created_after, self.created_before
        return listing.Filters(
            states=self.status,
            labels=dict(label.split(":", 1) for label in self.label),
            created_from=None if after is None else (math.floor(_milliseconds(after)) + 1) / 1000,
            created_until=None if before is None else math.ceil(_milliseconds(before)) / 1000,
            text=self.q,
            parent=self.parent,
        )

    def told(self) -> str:
        """A text that differs where filters or order do."""
        known = self.model_copy(update={"status": sorted(set(self.status)), "label": sorted(set(self.label))})
        return known.model_dump_json(exclude={"limit", "cursor"})


def _milliseconds(moment: datetime) -> float:
    return round(moment.timestamp() * 1e6) / 1e3

"""What every reply shares: openness, pages, numbers that JSON cannot hold, times."""

from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from contract.described import by_docstrings

Number = int | float | Literal["NaN", "Infinity", "-Infinity"]
"""A number; one that JSON cannot hold is one of three strings."""
Numbers = dict[str, Number]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-11-22T07:15:00.123Z"])]
"""RFC 3339, in UTC, to the millisecond."""
Item = TypeVar("Item")


class View(BaseModel):
    """A reply, or a part of one. Replies are open: later versions may add fields and enum values."""

    model_config = ConfigDict(json_schema_extra=by_docstrings, protected_namespaces=(), serialize_by_alias=True, validate_by_name=True)


class Page(View, Generic[Item]):
    """Part of a list."""

    object: Literal["list"] = "list"
    data: list[Item]
    """What is on this page."""
    has_more: bool = False
    """Whether another page follows."""
    next_cursor: str | None = None
    """Give it back to get the next page; null on the last one."""

"""The ground every spec class stands on: closed, frozen, strict, and finite."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from contract.described import by_docstrings


class Spec(BaseModel):
    """A part of what a user may ask for.

    Closed (an unknown field is a fault with its pointer, never a dropped argument), frozen (a spec is a value), strict
    (`"10"` is not a number) and finite (`NaN` and `Infinity` are refused).
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        json_schema_extra=by_docstrings,
        protected_namespaces=(),
    )


Count = Annotated[int, Field(ge=1, le=1_000_000)]
Rate = Annotated[float, Field(gt=0, le=10, description="Learning rate: how far a step goes, before the schedule.")]
Weight = Annotated[float, Field(ge=0, le=1e6)]
"""A penalty's strength λ."""
Fraction = Annotated[float, Field(ge=0, lt=1)]
HeldOut = Annotated[float, Field(ge=0, le=0.9)]
"""A share of rows that leaves at least a tenth to train on."""
Seed = Annotated[int, Field(ge=0, lt=2**63)]

# No control characters: a NUL cannot be stored by PostgreSQL, and the others only ever hide something in a log.
Text = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
LayerName = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[a-z0-9_.]+$")]

Metric = Literal[
    "train.loss", "train.objective", "train.accuracy", "val.loss", "val.objective", "val.accuracy", "val.nll", "val.brier", "val.ece"
]
"""What may be monitored. Accuracies rise as they get better, all others fall."""
Mode = Literal["min", "max"]

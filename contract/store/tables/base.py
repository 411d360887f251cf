"""What every table shares: the naming of constraints, and JSON on both databases."""

from sqlalchemy import JSON, MetaData
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# `none_as_null`: a None is SQL's NULL, which the constraints below can see, not the JSON document `null`.
Document = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")

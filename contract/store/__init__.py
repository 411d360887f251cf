"""The one place that knows SQL: where jobs, their history, their numbers and their checkpoints are written down."""

from contract.store.engine import Store

__all__ = ["Store"]

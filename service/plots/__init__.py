"""Which pictures of a job there are, and what each is drawn from."""

from collections.abc import Callable
from typing import Final

from contract.artifacts import Artifacts
from contract.job import Job
from contract.store import Store
from service.plots import confusion, filters, loss, sparsity
from service.plots.canvas import Drawing

Reader = Callable[[Store, Artifacts, Job], Drawing]

KINDS: Final[dict[str, Reader]] = {"loss": loss.read, "confusion": confusion.read, "filters": filters.read, "sparsity": sparsity.read}
"""By name. Each reads what it will show, which is quick, and gives back what draws it, which is not.

They raise NotFinishedError while there is nothing to show yet, NoResultError where there never will be, and GoneError for bytes that
are not kept any longer."""

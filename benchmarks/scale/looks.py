"""Which deeds of the store read, and should read no more when a million jobs have ended: each as the product does it."""

from collections.abc import Callable, Mapping
from typing import Final

from benchmarks.scale.history import TENANT
from contract.job import JobState
from contract.store import Store, backlog, checkpoints, deliveries, gauges, jobs, leases, listing, removal, sweep, workers
from contract.store.leases import Lease
from contract.store.listing import Filters

Deed = Callable[[Store], object]
_PAGE: Final = 20
_NOBODY: Final = "worker_that_nobody_is"
_HELD_JOB: Final = "job_02000000000000000"


def _page(filters: Filters = Filters(), sort: listing.Sort = "-created_at") -> Deed:  # noqa: B008  a frozen value
    return lambda store: listing.page(store, TENANT, _PAGE, filters, sort)


def _place(store: Store) -> object:
    return backlog.places(store, listing.page(store, TENANT, 1, Filters(states=[JobState.QUEUED])))


DEEDS: Final[Mapping[str, Deed]] = {
    "claim": lambda store: leases.claim(store, _NOBODY, "cpu", 3600.0),
    "give back": lambda store: leases.give_back(store, "worker_without_job"),
    "renew": lambda store: leases.renew(store, Lease(_HELD_JOB, 1), 3600.0),
    "list": _page(),
    "list, by priority": _page(sort="-priority"),
    "list, queued": _page(Filters(states=[JobState.QUEUED])),
    "list, paused (there are none)": _page(Filters(states=[JobState.PAUSED])),
    "list, failed": _page(Filters(states=[JobState.FAILED])),
    "list, failed or cancelled, by priority": _page(Filters(states=[JobState.FAILED, JobState.CANCELLED]), "-priority"),
    "list, of those that have ended": _page(Filters(states=[JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED])),
    "list, by a common label": _page(Filters(labels={"team": "team-7"})),
    "list, by a rare label": _page(Filters(labels={"run": "run-3"})),
    "list, children of a job": _page(Filters(parent=_HELD_JOB)),
    "sweep: expired leases": sweep.expire,
    "sweep: deadlines": sweep.time_out,
    "sweep: bells": sweep.ring,
    "sweep: checkpoints to purge": checkpoints.to_purge,
    "sweep: jobs to purge": lambda store: removal.to_purge(store, 0.0),
    "sweep: webhooks due": lambda store: deliveries.claim(store, 8),
    "sweep: old deliveries": deliveries.prune,
    "workers": workers.listed,
    "queue: place of a job": _place,
    "queue: depths": lambda store: backlog.depths(store, TENANT),
    "queue: ahead of a new job": lambda store: backlog.ahead(store, 0),
    "queue: first jobs": lambda store: backlog.queued(store, 200),
    "queue: pace of late": lambda store: backlog.measured(store, 100),
    "gauges": gauges.read,
    "events": lambda store: jobs.events(store, _HELD_JOB, 0),
}
"""By what they are for, in the order in which they are told of."""

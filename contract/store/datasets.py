"""Which uploaded data sets a tenant has: each content once, its bytes under a key that no other row ever names."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, Select, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from contract import ids
from contract.errors import InUseError, InvalidSpecError, NotFoundError, QuotaSpentError, StoreUnavailableError
from contract.events import File
from contract.job import OPEN, Job, Json
from contract.spec.faults import Fault
from contract.store import quotas
from contract.store.engine import Store
from contract.store.tables import datasets, jobs

ID: Final = re.compile(r"ds_[0-9a-z]{26}")
"""Anything else is the id of no data set."""
ROOT: Final = "datasets"
"""The first part of the key of every data set in the artifact store."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """An uploaded data set, its files in the artifact store under the key `prefix`."""

    id: str
    tenant: str
    name: str
    format: str
    """What was uploaded: `npz`, `idx` or `images`."""
    sha256: str
    """Of the content in its canonical form, whatever it was uploaded as."""
    state: str
    """`storing` until its bytes are there, `ready`, and `deleted` until they are gone."""
    facts: Json
    """What is in it, as the check of the upload found."""
    prefix: str
    files: tuple[File, ...]
    size_bytes: int
    created_at: float


@dataclass(frozen=True, slots=True)
class Draft:
    """A data set that was checked and is not stored yet."""

    name: str
    format: str
    sha256: str
    facts: Json
    files: Sequence[File]


def begin(store: Store, tenant: str, draft: Draft, tenant_bytes: int) -> Dataset:
    """A row for bytes about to be stored; or the tenant's data set of the same content, which is `ready`.

    Raises QuotaSpentError where the tenant would have more than `tenant_bytes` stored.
    """
    size = sum(file.size_bytes for file in draft.files)
    with store.write() as connection:
        if standing := _of_content(connection, tenant, draft.sha256):
            return standing
        _assert_room(connection, tenant, size, tenant_bytes)
        quotas.assert_room_for_bytes(connection, tenant, size, store.now(connection))
        made = Dataset(
            id=(dataset_id := ids.dataset()),
            tenant=tenant,
            name=draft.name,
            format=draft.format,
            sha256=draft.sha256,
            state="storing",
            facts=draft.facts,
            # The id makes it a key of this row alone: the end of another row of the same content takes nothing from it.
            prefix=f"{ROOT}/{sha256(tenant.encode()).hexdigest()[:16]}/{draft.sha256}/{dataset_id}",
            files=tuple(draft.files),
            size_bytes=size,
            created_at=store.now(connection),
        )
        connection.execute(insert(datasets).values(_to_row(made)))
    return made


def finish(store: Store, dataset: Dataset) -> Dataset:
    """The data set ready, its bytes being there; or the one of the same content that was ready first."""
    try:
        with store.write() as connection:
            row = datasets.c.id == dataset.id, datasets.c.state == "storing"
            if connection.execute(update(datasets).where(*row).values(state="ready")).rowcount != 1:
                raise StoreUnavailableError(f"data set {dataset.id} took too long to store and was given up; upload it again")
            return _of_row(connection.execute(select(datasets).where(datasets.c.id == dataset.id)).mappings().one())
    except IntegrityError:
        abandon(store, dataset.id)
        with store.read() as connection:
            standing = _of_content(connection, dataset.tenant, dataset.sha256)
        if standing is None:
            raise
        return standing


def abandon(store: Store, dataset_id: str) -> None:
    """Give up a data set that was never ready: its bytes go with the next purge, and an upload still under way hears of it."""
    with store.write() as connection:
        connection.execute(update(datasets).where(datasets.c.id == dataset_id, datasets.c.state == "storing").values(state="deleted"))


def get(store: Store, tenant: str, dataset_id: str) -> Dataset:
    """The data set. Raises NotFoundError, also for another tenant's."""
    with store.read() as connection:
        row = connection.execute(_ready(tenant).where(datasets.c.id == dataset_id)).mappings().one_or_none()
    if row is None:
        raise NotFoundError("data set", dataset_id)
    return _of_row(row)


def page(store: Store, tenant: str, limit: int, before_id: str | None = None) -> list[Dataset]:
    """Up to `limit` data sets, newest first, those older than `before_id`."""
    query = _ready(tenant).order_by(datasets.c.id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(datasets.c.id < before_id)
    with store.read() as connection:
        return [_of_row(row) for row in connection.execute(query).mappings()]


def remove(store: Store, tenant: str, dataset_id: str) -> None:
    """Take the data set away; its bytes go with the next purge. Raises NotFoundError, and InUseError while a job may still read it."""
    with store.write() as connection:
        query = _ready(tenant).where(datasets.c.id == dataset_id).with_for_update()
        if connection.execute(query).mappings().one_or_none() is None:
            raise NotFoundError("data set", dataset_id)
        if users := _users(connection, tenant, dataset_id):
            shown = ", ".join(users[:3]) + (" and others" if len(users) > 3 else "")
            raise InUseError(f"data set {dataset_id} is needed by {shown}; cancel what uses it, or wait for its end")
        connection.execute(update(datasets).where(datasets.c.id == dataset_id).values(state="deleted"))


def hold(connection: Connection, job: Job) -> None:
    """See that the uploaded set which a new job names is there, and stays while the job is written.

    Raises InvalidSpecError where it was deleted meanwhile.
    """
    dataset = job.spec.get("dataset", {})
    if dataset.get("kind") != "uploaded":
        return
    query = _ready(job.tenant).where(datasets.c.id == dataset["id"]).with_for_update(read=True)
    if connection.execute(query).first() is None:
        raise InvalidSpecError([unknown()])


def unknown() -> Fault:
    """What there is to say of an id that no data set of the tenant has."""
    return Fault(("dataset", "id"), "unknown_dataset", "there is no such data set; GET /v1/datasets lists yours, POST uploads one")


def to_purge(store: Store, older_than_seconds: float, limit: int = 100) -> list[tuple[str, str]]:
    """Id and key prefix of data sets that were deleted, or whose upload was cut off so long ago."""
    with store.read() as connection:
        oldest = store.now(connection) - older_than_seconds
        cut_off = (datasets.c.state == "storing") & (datasets.c.created_at < oldest)
        query = select(datasets.c.id, datasets.c.prefix).where(or_(datasets.c.state == "deleted", cut_off))
        return [(row.id, row.prefix) for row in connection.execute(query.order_by(func.random()).limit(limit))]


def purged(store: Store, dataset_id: str) -> None:
    """Forget a data set whose bytes are gone."""
    with store.write() as connection:
        connection.execute(delete(datasets).where(datasets.c.id == dataset_id, datasets.c.state == "deleted"))


def _ready(tenant: str) -> Select[Any]:
    return select(datasets).where(datasets.c.tenant == tenant, datasets.c.state == "ready")


def _of_content(connection: Connection, tenant: str, content: str) -> Dataset | None:
    row = connection.execute(_ready(tenant).where(datasets.c.sha256 == content)).mappings().one_or_none()
    return None if row is None else _of_row(row)


def _assert_room(connection: Connection, tenant: str, more: int, most: int) -> None:
    kept = select(func.sum(datasets.c.size_bytes)).where(datasets.c.tenant == tenant, datasets.c.state != "deleted")
    used = int(connection.execute(kept).scalar_one() or 0)
    if used + more > most:
        raise QuotaSpentError(
            f"{more:,} bytes more than the {used:,} of your data sets exceed the {most:,} allowed; delete one you do not need"
        )


def _users(connection: Connection, tenant: str, dataset_id: str) -> Sequence[str]:
    """The jobs that name the data set and have not ended."""
    named = jobs.c.spec[("dataset", "id")].as_string() == dataset_id
    is_open = jobs.c.state.in_([state.value for state in OPEN])
    return connection.execute(select(jobs.c.id).where(jobs.c.tenant == tenant, is_open, named).limit(4)).scalars().all()


def _to_row(dataset: Dataset) -> Json:
    row = {name: getattr(dataset, name) for name in Dataset.__slots__}
    return row | {"files": [file.model_dump() for file in dataset.files]}


def _of_row(row: RowMapping) -> Dataset:
    values = {name: row[name] for name in Dataset.__slots__}
    return Dataset(**{**values, "files": tuple(File(**file) for file in row["files"])})

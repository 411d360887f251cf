"""Which checkpoints of a job exist, which one is best, and which are not kept any longer."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, func, insert, or_, select, update

from contract import ids, lifecycle, numbers
from contract.errors import GoneError, NotFoundError
from contract.events import File
from contract.job import Job, Json
from contract.lifecycle import Actor
from contract.store import removal, rows
from contract.store.engine import Store
from contract.store.leases import Lease
from contract.store.rows import Note
from contract.store.tables import checkpoints, jobs

_PIECE = 500


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A whole checkpoint in the artifact store, its files under the key `prefix`."""

    id: str
    job_id: str
    fence: int
    seq: int
    epoch: int
    step: int
    metrics: Json
    score: float | None
    """The monitored metric, turned so that more is better; None where the checkpoint is no candidate for the best."""
    prefix: str
    files: tuple[File, ...]
    size_bytes: int
    pinned: bool
    created_at: float


@dataclass(frozen=True, slots=True)
class Draft:
    """A checkpoint whose bytes are stored and which no row names yet."""

    epoch: int
    step: int
    metrics: Json
    interim: bool
    prefix: str
    files: Sequence[File]


def record(store: Store, lease: Lease, draft: Draft) -> Job:
    """Point the job at its new checkpoint and let go of those the policy does not keep, in one transaction.

    Harmless to repeat when an answer was lost. Raises LostLeaseError when the job belongs to another attempt; the bytes are then
    garbage.
    """
    with store.write() as connection:
        now = store.now(connection)
        before = rows.lock(connection, lease.job_id)
        if _is_recorded(connection, before.id, draft.prefix):
            return before
        checkpoint_id = ids.checkpoint()
        policy = before.spec["checkpoints"]
        score = None if draft.interim else _score(draft.metrics, policy)
        best = _best(connection, before, checkpoint_id, draft, score, policy)
        after = lifecycle.checkpoint(before, lease.fence, now, checkpoint_id, best, epoch=draft.epoch, step=draft.step)
        size = sum(file.size_bytes for file in draft.files)
        row = {
            "id": checkpoint_id,
            "job_id": before.id,
            "fence": lease.fence,
            "seq": after.checkpoint_seq,
            "epoch": draft.epoch,
            "step": draft.step,
        }
        row |= {"metrics": numbers.to_json(draft.metrics), "score": score, "prefix": draft.prefix, "size_bytes": size, "created_at": now}
        connection.execute(insert(checkpoints).values(**row, files=[file.model_dump() for file in draft.files]))
        _retain(connection, after, policy, now)
        data = {"checkpoint_id": checkpoint_id, "epoch": draft.epoch, "step": draft.step, "size_bytes": size, "best": best is not None}
        note = Note("checkpoint", f"checkpoint after epoch {draft.epoch}, step {draft.step}" + (", the best so far" if best else ""), data)
        return rows.save(connection, before, after, Actor.WORKER, now, (note,))


def listed(store: Store, job: Job) -> list[Checkpoint]:
    """The job's checkpoints that are kept, newest first."""
    query = select(checkpoints).where(checkpoints.c.job_id == job.id, checkpoints.c.deleted_at.is_(None)).order_by(checkpoints.c.seq.desc())
    with store.read() as connection:
        return [from_row(row) for row in connection.execute(query).mappings()]


def to_resume(store: Store, job: Job) -> list[Checkpoint]:
    """What the job may go on from, newest first: its own checkpoints, or before it has one those of the job whose last it begins from."""
    if kept := listed(store, job):
        return kept
    if job.start_checkpoint_id is None:
        return []
    writer = select(checkpoints.c.job_id).where(checkpoints.c.id == job.start_checkpoint_id).scalar_subquery()
    # Its others too: should the bytes of the last have rotted, there is one to fall back on.
    query = select(checkpoints).where(checkpoints.c.job_id == writer, checkpoints.c.deleted_at.is_(None)).order_by(checkpoints.c.seq.desc())
    with store.read() as connection:
        return [from_row(row) for row in connection.execute(query).mappings()]


def to_start_from(store: Store, job: Job) -> Checkpoint | None:
    """The checkpoint whose weights the job starts from; None where the seed draws them. Raises GoneError where it is not there any more."""
    if job.init_checkpoint_id is None:
        return None
    query = select(checkpoints).where(checkpoints.c.id == job.init_checkpoint_id, checkpoints.c.deleted_at.is_(None))
    with store.read() as connection:
        row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise GoneError(f"checkpoint '{job.init_checkpoint_id}', whose weights the job starts from, is not kept any longer")
    return from_row(row)


def begun_with_epochs(store: Store, job: Job, kept: Sequence[Checkpoint]) -> int | None:
    """`epochs` of the job that wrote the checkpoints which `job` may go on from, where it extends that one; else None."""
    if not kept or kept[0].job_id == job.id:
        return None
    query = select(jobs.c.spec).where(jobs.c.id == kept[0].job_id)
    with store.read() as connection:
        epochs = int(connection.execute(query).scalar_one()["epochs"])
    return epochs if epochs != job.spec["epochs"] else None


def get(store: Store, job: Job, name: str) -> Checkpoint:
    """The job's checkpoint called `best`, `last` or by its id. Raises NotFoundError; GoneError for an id that is not kept any longer.

    A name of what was deleted is the name of nothing: it is not found, and never another one in its place. The best of a job that continues another is the other's until an epoch of its own beats it.
    """
    checkpoint_id = {"best": job.best_checkpoint_id or job.checkpoint_id, "last": job.checkpoint_id}.get(name, name)
    own = or_(checkpoints.c.job_id == job.id, checkpoints.c.id == job.best_checkpoint_id)
    query = select(checkpoints).where(own, checkpoints.c.id == checkpoint_id)
    with store.read() as connection:
        row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise NotFoundError("checkpoint", name)
    if row["deleted_at"] is not None:
        raise _not_kept(job, name, row)
    return from_row(row)


def _not_kept(job: Job, name: str, row: RowMapping) -> NotFoundError | GoneError:
    if name != row["id"]:
        cause = f"{row['id']}, written after epoch {row['epoch']}, was deleted"
        return NotFoundError("checkpoint", name, f"{cause}; /v1/jobs/{job.id}/checkpoints lists those that are left")
    policy = f"its policy keeps the last {job.spec['checkpoints']['keep_last']}, the best and those pinned"
    return GoneError(f"checkpoint '{name}' is not kept any longer: it was deleted, or the job let go of it; {policy}")


def to_purge(store: Store, limit: int = 100) -> list[tuple[str, str]]:
    """Id and key prefix of checkpoints that are not kept and whose bytes may still exist."""
    query = (
        select(checkpoints.c.id, checkpoints.c.prefix)
        .where(checkpoints.c.deleted_at.is_not(None), checkpoints.c.purged_at.is_(None))
        .order_by(func.random())  # those that cannot be removed must not stand before the others for ever
        .limit(limit)
    )
    with store.read() as connection:
        return [(row.id, row.prefix) for row in connection.execute(query)]


def unnamed(store: Store, prefixes: Sequence[str]) -> list[str]:
    """Those of the key prefixes `JOB/…` that no row names, not even one whose bytes are still to be purged.

    Of jobs of this database alone: what lies there of another one's, or of nobody we know, is not ours to judge.
    """
    named: set[str] = set()
    # In pieces, as databases bound the variables of a statement.
    with store.read() as connection:
        for start in range(0, len(prefixes), _PIECE):
            query = select(checkpoints.c.prefix).where(
                checkpoints.c.prefix.in_(prefixes[start : start + _PIECE]), checkpoints.c.purged_at.is_(None)
            )
            named.update(connection.execute(query).scalars())
    known = _known(store, sorted({prefix.partition("/")[0] for prefix in prefixes}))
    return [prefix for prefix in prefixes if prefix not in named and prefix.partition("/")[0] in known]


def _known(store: Store, job_ids: Sequence[str]) -> set[str]:
    found: set[str] = set()
    with store.read() as connection:
        for start in range(0, len(job_ids), _PIECE):
            found.update(connection.execute(select(jobs.c.id).where(jobs.c.id.in_(job_ids[start : start + _PIECE]))).scalars())
    return found


def purged(store: Store, checkpoint_id: str) -> None:
    """Note that a checkpoint's bytes are gone."""
    with store.write() as connection:
        connection.execute(update(checkpoints).where(checkpoints.c.id == checkpoint_id).values(purged_at=store.now(connection)))


def _is_recorded(connection: Connection, job_id: str, prefix: str) -> bool:
    row = select(checkpoints.c.id).where(checkpoints.c.job_id == job_id, checkpoints.c.prefix == prefix)
    return connection.execute(row).scalar_one_or_none() is not None


def _score(metrics: Json, policy: Json) -> float | None:
    value = metrics.get(policy["monitor"])
    if not isinstance(value, int | float) or value != value:
        return None
    return float(value) if policy["mode"] == "max" else -float(value)


def _best(connection: Connection, job: Job, checkpoint_id: str, draft: Draft, score: float | None, policy: Json) -> Json | None:
    """The job's `best`, if this checkpoint is it. The earlier of two equal ones stays."""
    if score is None:
        return None
    held = select(checkpoints.c.score).where(checkpoints.c.id == job.best_checkpoint_id)
    standing = connection.execute(held).scalar_one_or_none() if job.best_checkpoint_id else None
    if standing is not None and score <= standing:
        return None
    return {"checkpoint_id": checkpoint_id, "epoch": draft.epoch, "metric": policy["monitor"], "value": draft.metrics[policy["monitor"]]}


def _retain(connection: Connection, job: Job, policy: Json, now: float) -> None:
    kept = select(checkpoints.c.id, checkpoints.c.score, checkpoints.c.pinned).where(
        checkpoints.c.job_id == job.id, checkpoints.c.deleted_at.is_(None)
    )
    # Locked, so that a job which is just being made to start from one of them is seen below.
    found = connection.execute(kept.order_by(checkpoints.c.seq.desc()).with_for_update()).all()
    last = {row.id for row in found[: policy["keep_last"]]}
    scored = sorted((row for row in found if row.score is not None), key=lambda row: row.score, reverse=True)
    best = {row.id for row in scored[: policy["keep_best"]]} | {job.best_checkpoint_id}
    surplus = [row.id for row in found if row.id not in last | best and not row.pinned]
    if surplus:
        connection.execute(update(checkpoints).where(checkpoints.c.id.in_(surplus), ~removal.needed()).values(deleted_at=now))


def from_row(row: RowMapping) -> Checkpoint:
    """The checkpoint that a whole row holds."""
    return Checkpoint(
        id=row["id"],
        job_id=row["job_id"],
        fence=row["fence"],
        seq=row["seq"],
        epoch=row["epoch"],
        step=row["step"],
        metrics=row["metrics"],
        score=row["score"],
        prefix=row["prefix"],
        files=tuple(File(**file) for file in row["files"]),
        size_bytes=row["size_bytes"],
        pinned=bool(row["pinned"]),
        created_at=row["created_at"],
    )

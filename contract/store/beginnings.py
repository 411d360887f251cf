"""Whether the weights that a job is to start from are there, and are its network's."""

from sqlalchemy import Connection, select

from contract.errors import InvalidSpecError
from contract.spec import JobSpec, plan
from contract.spec.faults import Fault
from contract.store.tables import checkpoints, jobs


def assert_there(connection: Connection, tenant: str, spec: JobSpec) -> None:
    """Holds on to the checkpoint of `init_from` until the transaction ends, so that it is not dropped before the job names it.

    Raises InvalidSpecError where this tenant has no such checkpoint, it is not kept any longer, or its network has other layers.
    """
    if spec.init_from is None:
        return
    query = (
        select(checkpoints.c.deleted_at, jobs.c.spec)
        .join(jobs, jobs.c.id == checkpoints.c.job_id)
        .where(checkpoints.c.id == spec.init_from, jobs.c.tenant == tenant, jobs.c.deleted_at.is_(None))
        .with_for_update(read=True, of=checkpoints)
    )
    found = connection.execute(query).mappings().one_or_none()
    if found is None:
        raise _refused("not_found", f"there is no checkpoint '{spec.init_from}'; list those of a job at /v1/jobs/JOB/checkpoints")
    if found["deleted_at"] is not None:
        raise _refused("gone", f"checkpoint '{spec.init_from}' was not kept; take another one of that job, as its best")
    if told := _misfit(spec, JobSpec.model_validate(found["spec"])):
        raise _refused("layers_misfit", f"checkpoint '{spec.init_from}' {told}; take the same model and data shape, or leave init_from out")


def _misfit(spec: JobSpec, wrote: JobSpec) -> str | None:
    """How the layers differ, at the first that does; None where they are the same."""
    here, there = ({layer.name: layer for layer in plan.layers(one.model, one.dataset.shape())} for one in (spec, wrote))
    for name in {**here, **there}:
        if name not in there:
            return f"has no layer '{name}'"
        if name not in here:
            return f"has a layer '{name}' that this network has not"
        if here[name].weight != there[name].weight or (here[name].bias is None) != (there[name].bias is None):
            return f"has '{name}' as {there[name].weight} and this network as {here[name].weight}"
    return None


def _refused(code: str, message: str) -> InvalidSpecError:
    return InvalidSpecError([Fault(("init_from",), code, message)])

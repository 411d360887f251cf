"""What has no meaning together is refused with the reason, and everything else is let through."""

from typing import Any, get_args

import pytest

from contract.spec import JobSpec, check, faults, optimizers, penalties, schedules


def _members(union: Any) -> list[Any]:
    found = get_args(get_args(union)[0]) or get_args(union)
    return list(found)


OPTIMIZERS: dict[str, dict[str, Any]] = {
    **{member.model_fields["kind"].default: {"kind": member.model_fields["kind"].default} for member in _members(optimizers.Optimizer)},
    **{f"sam_around_{kind}": {"kind": "sam", "base": {"kind": kind}} for kind in ("sgd", "muon", "lion")},
}
# The table of docs/mathematics.md: by the form in which a penalty acts, the optimizers that cannot take it, and the code of the refusal.
REFUSED = {
    "proximal": ({"muon", "lion", "schedule_free", "lbfgs", "sam_around_muon", "sam_around_lion"}, "no_metric"),
    "subgradient": ({"lbfgs"}, "not_smooth"),
    "decay": ({"lbfgs", "schedule_free"}, "no_decay"),
    "smooth": (set[str](), ""),
}


def _forms() -> list[tuple[dict[str, Any], str]]:
    """Each penalty in each form of its own, and how it acts."""
    found = []
    for member in _members(penalties.Penalty):
        kind = member.model_fields["kind"].default
        applied = member.model_fields.get("apply")
        for form in get_args(applied.annotation) if applied else [None]:
            strength = {"lambda": 1e-3} if "lambda_" in member.model_fields else {}
            groups = {"by": "neuron"} if "by" in member.model_fields else {}
            document = {"kind": kind, **strength, **groups} | ({"apply": form} if form else {})
            [penalty] = JobSpec.model_validate({"penalties": [document]}).penalties
            acts = "decay" if kind == "decoupled_decay" else "smooth" if penalty.is_smooth else "subgradient"
            found.append((document, "proximal" if penalty.is_proximal else acts))
    return found


def _job(optimizer: dict[str, Any], **fields: Any) -> JobSpec:
    """A job that this optimizer can run: on a network with hidden matrices and without norms."""
    return JobSpec.model_validate({"model": {"kind": "mlp"}, "optimizer": optimizer, **fields})


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize(("penalty", "acts"), _forms(), ids=str)
def test_every_pair_of_penalty_and_optimizer_is_allowed_or_refused_with_a_reason(name: str, penalty: dict[str, Any], acts: str) -> None:
    found = check.faults(_job(OPTIMIZERS[name], penalties=[penalty]))

    refused, code = REFUSED[acts]
    if name not in refused:
        assert found == []
        return
    [fault] = found
    assert (fault.pointer, fault.code) == ("/penalties/0", code)
    assert name.removeprefix("sam_around_") in fault.message
    assert penalty["kind"] in fault.message
    assert "use " in fault.message, "the remedy"


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_penalty_of_no_strength_asks_nothing_of_the_optimizer(name: str) -> None:
    assert check.faults(_job(OPTIMIZERS[name], penalties=[{"kind": "l1", "lambda": 0}])) == []


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("schedule", [member.model_fields["kind"].default for member in _members(schedules.Schedule)])
def test_a_schedule_is_refused_where_something_else_finds_the_length_of_a_step(name: str, schedule: str) -> None:
    found = check.faults(_job(OPTIMIZERS[name], schedule={"kind": schedule, "warmup_epochs": 2}))

    refused = name in ("schedule_free", "lbfgs") and schedule != "constant"
    assert [(fault.pointer, fault.code) for fault in found] == ([("/schedule/kind", "schedule_misfit")] if refused else [])


def test_lbfgs_without_a_line_search_follows_a_schedule() -> None:
    optimizer = {"kind": "lbfgs", "line_search_fn": None}

    assert check.faults(_job(optimizer, schedule={"kind": "cosine"})) == []


@pytest.mark.parametrize("optimizer", [{"kind": "gd"}, {"kind": "lbfgs"}, {"kind": "sam", "base": {"kind": "gd"}}], ids=str)
def test_a_full_batch_optimizer_takes_the_whole_set_by_itself_and_refuses_less(optimizer: dict[str, Any]) -> None:
    assert _job(optimizer).batch_size == "full"
    [fault] = check.faults(_job(optimizer, batch_size=32))
    assert (fault.pointer, fault.code) == ("/batch_size", "not_full_batch")
    assert optimizer.get("base", optimizer)["kind"] in fault.message


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model": {"kind": "linear"}, "optimizer": {"kind": "muon"}}, "linear has none; use adamw"),
        ({"model": {"kind": "linear"}, "optimizer": {"kind": "sam", "base": {"kind": "muon"}}}, "linear has none; use adamw"),
        ({"model": {"kind": "cnn", "norm": "batch"}, "optimizer": {"kind": "schedule_free"}}, "use a model without norm"),
    ],
    ids=["muon", "sam_around_muon", "schedule_free"],
)
def test_an_optimizer_that_cannot_step_the_network_is_refused_with_a_remedy(fields: dict[str, Any], words: str) -> None:
    [fault] = check.faults(JobSpec.model_validate(fields))

    assert fault.pointer == "/optimizer/kind"
    assert words in fault.message


def test_a_network_that_cannot_be_built_is_told_once() -> None:
    spec = JobSpec.model_validate({"model": {"kind": "cnn", "channels": [4] * 9}, "optimizer": {"kind": "muon"}})

    assert len(check.faults(spec)) == 1


@pytest.mark.parametrize("base", ["lbfgs", "schedule_free", "sam"])
def test_sam_stands_around_first_order_optimizers_only(base: str) -> None:
    document = {"optimizer": {"kind": "sam", "base": {"kind": base}}}
    with pytest.raises(ValueError) as refused:
        JobSpec.model_validate(document)

    [fault] = faults.of(refused.value, document, JobSpec)  # type: ignore[arg-type]
    assert (fault.pointer, fault.code) == ("/optimizer/base/kind", "unknown_kind")


def test_a_wrong_field_of_sams_base_is_told_where_it_is() -> None:
    document = {"optimizer": {"kind": "sam", "base": {"kind": "sgd", "learning_rate": 1}}}
    with pytest.raises(ValueError) as refused:
        JobSpec.model_validate(document)

    [fault] = faults.of(refused.value, document, JobSpec)  # type: ignore[arg-type]
    assert fault.pointer == "/optimizer/base/learning_rate"
    assert "lr" in fault.message


def test_sams_rate_is_its_bases() -> None:
    spec = JobSpec.model_validate({"optimizer": {"kind": "sam", "base": {"kind": "sgd", "lr": 0.3}}})

    assert spec.optimizer.lr == 0.3


def test_without_held_out_rows_plateau_watches_the_training_loss() -> None:
    data = {"kind": "fake", "validation_fraction": 0}
    spec = JobSpec.model_validate({"dataset": data, "schedule": {"kind": "plateau", "patience": 3}})
    assert isinstance(spec.schedule, schedules.Plateau)
    assert (spec.schedule.monitor, spec.schedule.patience) == ("train.loss", 3)
    assert check.faults(spec) == []

    told = JobSpec.model_validate({"dataset": data, "schedule": {"kind": "plateau", "monitor": "val.loss"}})

    assert [fault.pointer for fault in check.faults(told)] == ["/schedule/monitor"]

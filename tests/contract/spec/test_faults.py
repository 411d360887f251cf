"""A spec that is wrong is told whole: every fault, where it is, and what would be right."""

import json
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from contract.spec import JobSpec, faults


def told(document: object) -> dict[str, tuple[str, str]]:
    """Code and message of each fault, by pointer."""
    with pytest.raises(ValidationError) as refused:
        JobSpec.model_validate(document)
    return {fault.pointer: (fault.code, fault.message) for fault in faults.of(refused.value, document, JobSpec)}


@pytest.mark.parametrize(
    ("document", "pointer", "code", "words"),
    [
        ({"penalties": [{"kind": "l2", "lamda": 1}]}, "/penalties/0/lamda", "unknown_field", "did you mean 'lambda'?"),
        ({"penalties": [{"kind": "l2"}]}, "/penalties/0/lambda", "missing", "required"),
        ({"penalties": [{"kind": "l3", "lambda": 1}]}, "/penalties/0/kind", "unknown_kind", "l1, l2"),
        ({"penalties": [{"lambda": 1}]}, "/penalties/0/kind", "missing", "which kind"),
        ({"optimizer": {"kind": "adamW"}}, "/optimizer/kind", "unknown_kind", "did you mean 'adamw'?"),
        ({"optimizer": {"kind": "sgd", "learning_rate": 1}}, "/optimizer/learning_rate", "unknown_field", "lr"),
        ({"optimzer": {}}, "/optimzer", "unknown_field", "did you mean 'optimizer'?"),
        ({"checkpoints": {"monitr": "val.loss"}}, "/checkpoints/monitr", "unknown_field", "did you mean 'monitor'?"),
        ({"early_stopping": {"patiens": 1}}, "/early_stopping/patiens", "unknown_field", "did you mean 'patience'?"),
        ({"epochs": 0}, "/epochs", "greater_than_equal", "got 0"),
        ({"epochs": "10"}, "/epochs", "int_type", "got a string"),
        ({"epochs": True}, "/epochs", "int_type", "got true"),
        ({"batch_size": "ful"}, "/batch_size", "int_type", "got a string, or 'full'"),
        ({"batch_size": 2_000_000}, "/batch_size", "less_than_equal", "to 1000000, got 2000000, or 'full'"),
        ({"optimizer": {"kind": "adam", "lr": float("nan")}}, "/optimizer/lr", "finite_number", "finite"),
        ({"optimizer": {"kind": "sgd", "nesterov": True}}, "/optimizer", "value_error", "set momentum"),
        ({"model": {"kind": "cnn", "channels": [8, "x"]}}, "/model/channels/1", "int_type", "got a string"),
        ({"metadata": {"a b": "x"}}, "/metadata/a b", "string_pattern_mismatch", "match"),
        ({"model": {"kind": "mlp", "hidden": 128}}, "/model/hidden", "tuple_type", "should be a list, got 128"),
        ({"penalties": {"kind": "l2"}}, "/penalties", "tuple_type", "should be a list, got an object"),
        ({"model": "resnet18"}, "/model", "model_attributes_type", 'an object as in {"kind": …}, got a string'),
        ({"optimizer": {"kind": "adam", "betas": [0.9]}}, "/optimizer/betas/1", "missing", "this value is required"),
        ({"model": {"kind": "cnn", "channels": []}}, "/model/channels", "too_short", "at least 1 item, got 0"),
        ({"name": "a\x00b"}, "/name", "string_pattern_mismatch", "match"),
        ({"limits": None}, "/limits", "model_type", "an object, got null"),
        ([], "", "model_type", "an object, got a list"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_fault_is_told_where_it_is_and_with_what_would_be_right(document: Any, pointer: str, code: str, words: str) -> None:
    found = told(document)
    assert pointer in found
    assert found[pointer][0] == code
    assert words in found[pointer][1]


@pytest.mark.parametrize(
    ("document", "pointer", "remedy"),
    [
        ({"augment": {"flip": 0.5}}, "/augment", "it is a field of dataset"),
        ({"lr": 0.1}, "/lr", "it is a field of optimizer"),
        ({"lambda": 0.1}, "/lambda", "it is a field of penalties"),
        ({"optimizer": {"kind": "sam", "lr": 0.1}}, "/optimizer/lr", "it is a field of base"),
        ({"optimizer": {"kind": "adam", "weight_decay": 0.1}}, "/optimizer/weight_decay", "l2"),
        ({"optimizer": {"kind": "adam", "momentum": 0.9}}, "/optimizer/momentum", "the first of betas"),
        ({"schedule": {"kind": "cosine", "eta_min": 0}}, "/schedule/eta_min", "min_factor"),
        ({"optimizer": {"kind": "sam", "base": {"kind": "lbfgs"}}}, "/optimizer/base", "the line search of lbfgs"),
        ({"optimizer": {"kind": "sam", "base": {"kind": "schedule_free"}}}, "/optimizer/base", "use adam or sgd"),
        ({"optimizer": {"kind": "sam", "base": {"kind": "sam"}}}, "/optimizer/base", "twice"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_mistake_of_someone_used_to_other_libraries_is_told_with_how_it_is_said_here(document: Any, pointer: str, remedy: str) -> None:
    found = told(document)
    assert list(found) == [pointer]
    assert remedy in found[pointer][1]


@pytest.mark.parametrize(
    ("document", "pointer", "message"),
    [
        ({"model": {"kind": "mlp", "hidden": [0]}}, "/model/hidden/0", "should be greater than or equal to 1, got 0"),
        (
            {"penalties": [{"kind": "l2", "lambda": 1, "on": "fc1"}]},
            "/penalties/0/on",
            "should be 'weights' or 'all', or a list, got a string",
        ),
        ({"penalties": [{"kind": "l2", "lambda": 1, "on": []}]}, "/penalties/0/on", "should have at least 1 item, got 0"),
        ({"penalties": [{"kind": "l2", "lambda": 1, "on": [1]}]}, "/penalties/0/on/0", "should be a valid string, got 1"),
        ({"batch_size": 0}, "/batch_size", "should be greater than or equal to 1, got 0, or 'full'"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_one_mistake_is_told_once(document: Any, pointer: str, message: str) -> None:
    assert {pointer: message} == {pointer: message for pointer, (_, message) in told(document).items()}


def test_every_fault_of_a_document_is_told_at_once_and_a_default_that_depends_on_one_is_none() -> None:
    document = {"optimizer": {"kind": "adamW"}, "penalties": [{"kind": "l2", "lamda": 1}], "epochs": 0, "model": {"kind": "mpl"}}
    assert told(document).keys() == {"/optimizer/kind", "/penalties/0/lambda", "/penalties/0/lamda", "/epochs", "/model/kind"}


def test_no_text_that_was_given_is_repeated() -> None:
    secret = "hunter2-hunter2"
    document = {"epochs": secret, "name": f"{secret}\x00", "optimizer": {"kind": secret}, "metadata": {"k": [secret]}, "batch_size": secret}
    assert secret not in json.dumps(list(told(document).values()))


def test_a_pointer_escapes_what_pointers_must() -> None:
    assert faults.Fault(("metadata", "a/b~c"), "x", "y").pointer == "/metadata/a~1b~0c"


def test_of_thousands_of_faults_no_more_are_worded_than_anyone_reads() -> None:
    one = {"kind": "l2", "lambda": 1, **{f"f{number}": 1 for number in range(20)}}
    assert len(told({"penalties": [one] * 100})) == faults.MOST


def test_a_name_too_long_to_be_a_mistake_is_compared_with_nothing() -> None:
    assert faults.nearest("optimizer" + "r" * 3, ["optimizer"]) == "optimizer"
    assert faults.nearest("lambda" + "a" * 100, ["lambda" + "a" * 99]) is None


class Left(BaseModel, extra="forbid"):
    """One of two that do not say which they are."""

    left: int = 0


class Right(BaseModel, extra="forbid"):
    """The other."""

    right: int = 0


class Either(BaseModel):
    """What may hold the one or the other."""

    side: Left | Right


def test_of_two_kinds_that_nobody_named_neither_is_taken_for_what_was_meant() -> None:
    given = {"side": {"top": 1}}
    with pytest.raises(ValidationError) as refused:
        Either.model_validate(given)
    assert {fault.message for fault in faults.of(refused.value, given, Either)} == {"unknown field 'top'"}

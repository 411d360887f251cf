"""What the description shows as an example is true of what it describes."""

from typing import Any

import jsonschema
import pytest

from contract.spec import JobSpec
from contract.store.datasets import Dataset
from service import examples, problems, replies, specs
from service.illustration import operations
from tests.service.description import document

Json = dict[str, Any]
DOCUMENT: Json = document()
SHOWN: Json = DOCUMENT["components"]["examples"]
UPLOADED = Dataset(
    examples.DATASET_ID, "default", "digits.npz", "npz", "0" * 64, "ready", facts=replies.REPLIES["Dataset"], prefix="", files=(),
    size_bytes=1, created_at=0.0,
)  # fmt: skip
SPECS = {name: spec for name, _, spec in examples.specs()}
REPLIES = [
    pytest.param(content, id=f"{operation['operationId']} {status} {media}")
    for _, operation in operations(DOCUMENT)
    for status, reply in operation["responses"].items()
    for media, content in reply.get("content", {}).items()
    if media in {"application/json", problems.MEDIA_TYPE}
]


@pytest.mark.parametrize("name", SPECS)
def test_an_example_of_a_spec_is_a_job_that_would_be_taken(name: str) -> None:
    assert SHOWN[name]["value"] == SPECS[name]
    assert SHOWN[name]["summary"]
    specs.check_with(SPECS[name], lambda _: specs.resolved(UPLOADED))
    holds(SPECS[name], {"$ref": "#/components/schemas/JobSpec"})


def test_there_is_an_example_of_every_kind_and_the_full_one_names_every_field() -> None:
    kinds = {
        f"{family}_{examples.kind(member)['kind']}" for family, union in examples.FAMILIES.items() for member in examples.members(union)
    }
    assert set(SPECS) == kinds | {"quick", "minimal", "full"}
    assert set(examples.FULL_SPEC) == set(JobSpec.model_fields)


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs/validate"])
def test_a_submission_declares_the_job_spec_and_shows_every_kind(path: str) -> None:
    content = DOCUMENT["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    assert content["schema"] == {"$ref": "#/components/schemas/JobSpec"}
    assert set(content["examples"]) == set(SPECS)


@pytest.mark.parametrize("content", REPLIES)
def test_every_reply_shows_an_example_of_its_shape(content: Json) -> None:
    shown = [SHOWN[example["$ref"].rsplit("/", 1)[-1]]["value"] for example in content.get("examples", {}).values()]
    assert shown or "example" in content
    for value in shown:
        holds(value, content["schema"])


@pytest.mark.parametrize("name", [name for name, schema in DOCUMENT["components"]["schemas"].items() if "examples" in schema])
def test_every_example_of_a_component_is_one(name: str) -> None:
    for value in DOCUMENT["components"]["schemas"][name]["examples"]:
        holds(value, {"$ref": f"#/components/schemas/{name}"})


def test_a_problem_shows_the_status_that_it_comes_with() -> None:
    shown = {name: example["value"] for name, example in SHOWN.items() if name.startswith("problem_")}
    assert {int(name.removeprefix("problem_")): value["status"] for name, value in shown.items()} == {
        value["status"]: value["status"] for value in shown.values()
    }


def holds(value: Any, schema: Json) -> None:
    jsonschema.validate(value, {**schema, "components": DOCUMENT["components"]})

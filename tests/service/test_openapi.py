"""The description of the API is a product of its own: whole, free of the framework's names, readable offline."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest

from contract.spec import JobSpec
from service import problems, shapes
from tests.service.description import document

Json = dict[str, Any]
DOCUMENT: Json = document()
OPERATIONS = {
    operation.get("operationId"): operation
    for path in DOCUMENT["paths"].values()
    for method, operation in path.items()
    if method != "parameters"
}


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for inner in node.values():
            yield from references(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from references(inner)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_has_a_name_a_summary_a_description_and_one_tag(name: str) -> None:
    operation = OPERATIONS[name]
    assert re.fullmatch(r"[a-z]+(_[a-z]+)+", name)
    assert operation["summary"]
    assert operation["description"]
    assert [tag["name"] for tag in DOCUMENT["tags"] if tag["name"] in operation["tags"]] == operation["tags"] != []


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_error_is_a_problem_and_every_reply_bears_the_request_id(name: str) -> None:
    for status, reply in OPERATIONS[name]["responses"].items():
        assert "X-Request-Id" in reply["headers"]
        if status >= "4" and (name, status) != ("get_readiness", "503"):
            assert [*reply["content"]] == [problems.MEDIA_TYPE]
            assert reply["content"][problems.MEDIA_TYPE]["schema"] == {"$ref": "#/components/schemas/Problem"}


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_parameter_is_described(name: str) -> None:
    for parameter in OPERATIONS[name].get("parameters", []):
        assert parameter.get("description") or parameter["schema"].get("description"), parameter["name"]


def test_every_reference_leads_somewhere_and_no_name_of_the_framework_is_left() -> None:
    for reference in references(DOCUMENT):
        node: Any = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
    assert "HTTPValidationError" not in str(DOCUMENT)


def test_every_field_of_every_object_is_described_unless_it_can_have_one_value_only() -> None:
    bare = [
        f"{name}.{field}"
        for name, schema in DOCUMENT["components"]["schemas"].items()
        for field, described in schema.get("properties", {}).items()
        if "const" not in described and not described.get("description")
    ]
    assert bare == []


@pytest.mark.anyio
async def test_what_is_answered_is_what_is_described(client: httpx.AsyncClient, hands: Any, job_id: str) -> None:
    lease = hands.claim(job_id)
    hands.step(lease, 5, **{"train.loss": float("nan")})
    hands.epoch(lease, 1, **{"val.loss": 0.5})
    hands.checkpoint(lease, 1, 0.5)
    hands.succeed(lease)
    hands.appear()
    ends = ["", "/events", "/metrics", "/result", "/checkpoints", "/checkpoints/best"]
    described = {f"/v1/jobs/{job_id}{end}": f"/v1/jobs/{{job_id}}{end.replace('best', '{name}')}" for end in ends}
    described |= {path: path for path in ("/v1/jobs", "/v1/workers", "/v1/version", "/v1/capabilities", "/healthz", "/readyz")}
    for path, template in described.items():
        schema = DOCUMENT["paths"][template]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        reply = await client.get(path)
        assert reply.status_code == 200, path
        jsonschema.validate(reply.json(), {**schema, "components": DOCUMENT["components"]})
    shapes.Result.model_validate((await client.get(f"/v1/jobs/{job_id}/result")).json())


@pytest.mark.anyio
async def test_the_docs_page_loads_nothing_from_elsewhere(standing: httpx.AsyncClient) -> None:
    page = await standing.get("/docs")
    assert not re.search(r"""(src|href)=["'](https?:)?//""", page.text)
    assert "validatorUrl: null" in (await standing.get("/ui/docs.js")).text
    for asset in re.findall(r"""(?:src|href)=["']([^"']+)["']""", page.text):
        assert (await standing.get(asset)).status_code == 200


@pytest.mark.anyio
async def test_capabilities_name_every_kind_and_are_sent_once(standing: httpx.AsyncClient) -> None:
    reply = await standing.get("/v1/capabilities")
    families = {name: {kind["kind"] for kind in kinds} for name, kinds in reply.json()["families"].items()}
    assert families["penalties"] >= {"l1", "l2", "group_lasso", "max_norm"}
    assert families["optimizer"] >= {"gd", "sgd", "adam"}
    assert set(families) <= set(JobSpec.model_fields)
    refused = {(pair["optimizer"], pair["penalty"], pair["apply"]) for pair in reply.json()["refusals"]}
    assert ("muon", "l1", "proximal") in refused
    assert not {("muon", "l1", "subgradient"), ("adam", "l1", "proximal")} & refused
    again = await standing.get("/v1/capabilities", headers={"If-None-Match": reply.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")

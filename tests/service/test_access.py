"""Generated from the description of the API: each route x each scope, and each route x each id of another tenant."""

import io
import re
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from fastapi import APIRouter

from contract.artifacts import LocalFolder
from contract.settings import Settings
from contract.store import Store, keys
from contract.store.keys import Scope
from service import access
from service.app import create_app
from service.routes import health
from tests.service.conftest import Hands, running
from tests.service.description import document
from tests.service.guarded import OPERATOR, Guarded

pytestmark = pytest.mark.anyio

Json = dict[str, Any]
NOBODYS: Final = "without a scope"


@cache
def paths() -> Json:
    """Everything that is described, by path and method."""
    found: Json = document()["paths"]
    return found


@cache
def operations() -> list[tuple[str, str, str]]:
    """Operation id, method and path of everything that is described."""
    return [(known["operationId"], method.upper(), path) for path, methods in paths().items() for method, known in methods.items()]


# --- The table itself ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["get_job", "list_workers", "/docs", "/openapi.json", "/static-offline-docs"])
def test_a_route_without_a_row_is_refused_when_the_application_is_built(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delitem(access.NEEDED, name)
    with pytest.raises(RuntimeError, match=f"{re.escape(name)} has no row in service/access.py"):
        create_app()


async def test_a_route_that_came_later_without_a_row_lets_nobody_in(sqlite_store: Store, settings: Settings) -> None:
    app = create_app(settings)
    app.add_api_route("/new", lambda: "secret", operation_id="do_something_new")
    async with running(app) as client:
        assert (await client.get("/new")).status_code == 500


def test_a_router_that_was_included_as_a_whole_is_refused() -> None:
    outer = APIRouter()
    outer.include_router(health.router)
    with pytest.raises(RuntimeError, match="name its module"):
        access.assert_complete(outer.routes)


def test_only_probes_and_pages_are_public() -> None:
    public = {name for name, scope in access.NEEDED.items() if scope is access.PUBLIC and not name.startswith("/")}
    assert public == {"get_health", "get_readiness", "get_version"}


@pytest.mark.parametrize("name", [name for name, _, _ in operations()])
def test_the_description_names_the_scope_and_the_answers_to_those_without_it(name: str) -> None:
    [described] = [known for path in paths().values() for known in path.values() if known["operationId"] == name]
    scope = access.NEEDED[name]
    assert described["security"] == ([] if scope is access.PUBLIC else [{"api_key": [scope.value]}])
    assert set(described["responses"]) >= ({"403"} if scope is access.PUBLIC else {"401", "403", "429"})


# --- Every route x every scope ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "method", "path"), operations(), ids=[name for name, _, _ in operations()])
@pytest.mark.parametrize("scope", [*Scope, NOBODYS, None], ids=str)
async def test_a_route_lets_in_those_who_have_its_scope(service: Guarded, name: str, method: str, path: str, scope: Any) -> None:
    """With ids of nothing: whoever is let in is told of that, or of a body that is missing."""
    secret = None if scope is None else service.key("scoped", *([] if scope == NOBODYS else [scope]))[1]
    named = re.sub(r"\{\w+\}", "nothing-here", path)
    reply = await service.ask(secret, method, named)
    needed = access.NEEDED[name]
    if needed is access.PUBLIC:
        assert reply.status_code in {200, 503}
    elif scope is None:
        assert reply.status_code == 401
    elif scope in {needed, Scope.ADMIN}:
        assert reply.status_code not in {401, 500}
        assert reply.status_code != 403 or "scope" not in reply.text
    else:
        assert reply.status_code == 403
        assert f'scope="{needed.value}"' in reply.headers["www-authenticate"]
        assert method == "HEAD" or (reply.json()["code"], needed.value in reply.json()["detail"]) == ("forbidden", True)


# --- Every route x every id of another tenant ---------------------------------------------------------------------------------------

Maker = Callable[[Guarded, Json], Awaitable[str]]


async def _job(service: Guarded, _: Json) -> str:
    """A job that has ended, with a result and a checkpoint."""
    job_id = str((await service.as_("b", "POST", "/v1/jobs", json={"dataset": {"kind": "fake"}})).json()["id"])
    database = Path(service.store.engine.url.database or "")
    hands = Hands(service.store, LocalFolder(database.parent / "artifacts"), database.parent)
    lease = hands.claim(job_id)
    hands.step(lease, 5, lr=0.1)
    hands.checkpoint(lease, 1, 0.5)
    hands.succeed(lease)
    return job_id


async def _checkpoint(service: Guarded, made: Json) -> str:
    page = (await service.as_("b", "GET", f"/v1/jobs/{made['job_id']}/checkpoints")).json()
    return str(page["data"][0]["id"])


async def _file(_service: Guarded, _made: Json) -> str:
    return "model.safetensors"


async def _key(service: Guarded, _: Json) -> str:
    return keys.create(service.store, "b", "to be looked for", [Scope.JOBS_READ])[0].id


async def _picture(_service: Guarded, _made: Json) -> str:
    return "loss"


async def _format(_service: Guarded, _made: Json) -> str:
    return "svg"


async def _dataset(service: Guarded, _: Json) -> str:
    file = io.BytesIO()
    np.savez(file, x=np.random.default_rng(0).normal(size=(30, 4)), y=np.arange(30) % 3)
    headers = {"Content-Type": "application/octet-stream"}
    return str((await service.as_("b", "POST", "/v1/datasets", content=file.getvalue(), headers=headers)).json()["id"])


async def _webhook(service: Guarded, _: Json) -> str:
    reply = await service.as_("b", "POST", "/v1/webhooks", json={"url": "https://93.184.216.34/hook"})
    return str(reply.json()["id"])


async def _delivery(service: Guarded, made: Json) -> str:
    return str((await service.as_("b", "POST", f"/v1/webhooks/{made['webhook_id']}/test")).json()["id"])


async def _tenant(_service: Guarded, _made: Json) -> str:
    return "b"


MAKERS: Final[dict[str, Maker]] = {
    "job_id": _job,
    "name": _checkpoint,
    "checkpoint_id": _checkpoint,
    "file": _file,
    "plot": _picture,
    "format": _format,
    "key_id": _key,
    "tenant": _tenant,
    "dataset_id": _dataset,
    "webhook_id": _webhook,
    "delivery_id": _delivery,
}
"""By path parameter, how tenant b comes by one; in this order, as one may need another."""
OPERATORS_OWN: Final = frozenset({"put_tenant_quota", "delete_tenant_quota"})
"""What an admin may do to no tenant, the own one not excepted."""
BODIES: Final[dict[str, Json]] = {"extend_job": {"epochs": 1}, "put_tenant_quota": {}}


def parameters(path: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", path)


@pytest.fixture(scope="module")
async def others(service: Guarded) -> Json:
    """An id of tenant b for each path parameter."""
    made: Json = {}
    needed = {parameter for _, _, path in operations() for parameter in parameters(path)}
    for parameter, maker in MAKERS.items():
        if parameter in needed:
            made[parameter] = await maker(service, made)
    return made


def test_every_path_parameter_has_a_maker() -> None:
    assert {parameter for _, _, path in operations() for parameter in parameters(path)} <= set(MAKERS)


@pytest.mark.parametrize(("name", "method", "path"), [known for known in operations() if parameters(known[2])])
async def test_what_is_another_tenants_is_not_there(service: Guarded, others: Json, name: str, method: str, path: str) -> None:
    body = {"json": BODIES[name]} if name in BODIES else {}
    foreign = await service.as_("a", method, path.format(**others), **body)
    assert foreign.status_code == 404, foreign.text
    if method in {"GET", "HEAD"} and name not in OPERATORS_OWN:
        own = await service.as_("b", method, path.format(**others))
        assert own.status_code < 400, f"{own.text}: a 404 for everybody proves nothing"


async def test_an_id_of_another_tenant_in_a_body_or_a_query_is_not_there(service: Guarded, others: Json) -> None:
    foreign = others["job_id"]
    own = (await service.as_("a", "POST", "/v1/jobs", json={})).json()["id"]
    assert (await service.as_("a", "GET", f"/v1/compare?ids={own},{foreign}")).status_code == 404
    for verb in ("cancel", "delete"):
        [outcome] = (await service.as_("a", "POST", f"/v1/jobs/{verb}", json={"ids": [foreign]})).json()["data"]
        assert (outcome["status"], outcome["job_status"]) == (404, None)
    assert (await service.as_("b", "GET", f"/v1/jobs/{foreign}")).status_code == 200


async def test_no_list_of_a_tenant_holds_what_is_another_tenants(service: Guarded, others: Json) -> None:
    for name, method, path in operations():
        if method == "GET" and not parameters(path) and access.NEEDED[name] is not access.PUBLIC:
            shown = (await service.as_("c", "GET", path)).text
            assert [value for value in others.values() if len(value) > 10 and "_" in value and value in shown] == [], path


async def test_a_worker_does_not_name_another_tenants_job(service: Guarded, others: Json) -> None:
    database = Path(service.store.engine.url.database or "")
    hands = Hands(service.store, LocalFolder(database.parent / "artifacts"), database.parent)
    job_id = (await service.as_("b", "POST", "/v1/jobs", json={"dataset": {"kind": "fake"}})).json()["id"]
    hands.claim(job_id)
    hands.appear("busy")
    for tenant, shown in (("a", None), ("b", job_id)):
        [worker] = (await service.as_(tenant, "GET", "/v1/workers")).json()["data"]
        assert worker["job_id"] == shown


async def test_the_operators_key_belongs_to_the_default_tenant(service: Guarded, others: Json) -> None:
    assert (await service.ask(OPERATOR, "GET", f"/v1/jobs/{others['job_id']}")).status_code == 404
    assert (await service.ask(OPERATOR, "GET", "/v1/quota")).json()["tenant"] == "default"

"""The pages for people: everything they load is served here, may do what it must and no more, and comes from nowhere else."""

import json
import re
import shutil
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from service.app import create_app
from service.routes import pages
from tests.service.description import document

pytestmark = pytest.mark.anyio
ASSETS = sorted(pages.names())
PAGES = {"index.html": "/", "docs.html": "/docs"}
OWN = [name for name in ASSETS if not name.startswith("vendor/")]


def path_of(name: str) -> str:
    return PAGES.get(name, f"/ui/{name}")


def text_of(name: str) -> str:
    return (pages.FOLDER / name).read_text()


@pytest.mark.parametrize("page", PAGES.values())
async def test_everything_that_a_page_loads_is_served(standing: httpx.AsyncClient, page: str) -> None:
    reply = await standing.get(page)
    assert (reply.status_code, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    loaded = re.findall(r"""(?:src|href)="([^"#]+)["#]""", reply.text)
    assert len(loaded) >= 5
    for asset in loaded:
        assert (await standing.get(f"/{asset.removeprefix('./')}")).status_code == 200, asset


@pytest.mark.parametrize("name", [name for name in ASSETS if name.endswith(".js")])
async def test_everything_that_a_script_imports_is_served(standing: httpx.AsyncClient, name: str) -> None:
    reply = await standing.get(path_of(name))
    assert reply.headers["content-type"] == "text/javascript; charset=utf-8"
    for imported in re.findall(r'^import .*?"\./([^"]+)";$', reply.text, re.MULTILINE):
        assert imported in ASSETS


@pytest.mark.parametrize("name", ASSETS)
async def test_a_page_and_what_it_loads_may_do_nothing_that_it_need_not(standing: httpx.AsyncClient, name: str) -> None:
    reply = await standing.get(path_of(name))
    policy = dict(part.split(" ", 1) for part in reply.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert {"script-src", "style-src", "connect-src"}.isdisjoint(policy)
    assert "unsafe" not in reply.headers["content-security-policy"]
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert reply.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("name", ASSETS)
async def test_what_a_browser_has_already_is_not_sent_again(standing: httpx.AsyncClient, name: str) -> None:
    first = await standing.get(path_of(name))
    assert first.headers["cache-control"] == "no-cache"
    again = await standing.get(path_of(name), headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert "content-security-policy" in again.headers
    head = await standing.head(path_of(name))
    assert (head.status_code, head.headers["etag"], head.content) == (200, first.headers["etag"], b"")


@pytest.mark.parametrize(
    "name", ["nope.js", "..%2fapp.py", "..%2f..%2fapp.py", "vendor", "vendor/README.md", "vendor/..%2fapp.js", "%00", "a" * 3000]
)
async def test_what_is_no_file_of_the_pages_is_not_found(standing: httpx.AsyncClient, name: str) -> None:
    reply = await standing.get(f"/ui/{name}")
    assert (reply.status_code, reply.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("name", ASSETS)
def test_no_file_names_another_host(name: str) -> None:
    # A namespace is a name and is not asked for; comments of the vendored library tell where it is from.
    text = text_of(name).replace("http://www.w3.org/2000/svg", "")
    text = re.sub(r"/\*.*?\*/|^\s*//.*$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert not re.findall(r"(?:https?:)?//[a-z0-9-]+\.[a-z]", text)


@pytest.mark.parametrize("name", PAGES)
def test_no_page_holds_a_script_or_a_style_of_its_own(name: str) -> None:
    assert not re.findall(r"<style|<script(?![^>]* src=)|\sstyle=|\son[a-z]+=", text_of(name))


@pytest.mark.parametrize("name", [name for name in OWN if name.endswith(".js")])
def test_no_script_reads_text_as_markup_or_code(name: str) -> None:
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc", text_of(name))


def test_an_api_key_is_kept_for_the_tab_alone() -> None:
    stored = [line for name in OWN if name.endswith(".js") for line in text_of(name).splitlines() if "localStorage" in line]
    assert stored
    assert all("theme" in line for line in stored)


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed here; the browser tests run every script too")
@pytest.mark.parametrize("name", [name for name in ASSETS if name.endswith(".js")])
def test_every_script_parses(name: str, tmp_path: Path) -> None:
    module = tmp_path / "script.mjs"
    module.write_text(text_of(name))
    done = subprocess.run(["node", "--check", str(module)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("method", "path"), [("GET", "/openapi.json"), ("PUT", "/v1/jobs")])
async def test_nobody_waits_while_the_api_describes_itself(
    standing: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    """It takes a second, and the first request that needs it may come at any time."""
    app = standing._transport.app  # type: ignore[attr-defined]
    made, makers = app.openapi(), []
    monkeypatch.setattr(app, "openapi", lambda: makers.append(threading.current_thread()) or made)
    app.state._state.pop("description", None)
    assert (await standing.request(method, path)).status_code in {200, 405}
    assert [maker is threading.main_thread() for maker in makers] == [False]


async def test_the_description_is_whole_and_sent_once(standing: httpx.AsyncClient) -> None:
    first = await standing.get("/openapi.json")
    assert first.headers["content-type"] == "application/json"
    assert first.json() == document()
    again = await standing.get("/openapi.json", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_those_who_ask_at_once_are_given_the_same_description() -> None:
    """FastAPI's own is there first, and ours is made of it: nobody may see it before."""
    app = create_app()
    with ThreadPoolExecutor(4) as threads:
        told = list(threads.map(lambda _: json.dumps(app.openapi()), range(4)))
    assert {text == json.dumps(document()) for text in told} == {True}

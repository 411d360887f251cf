"""What people do in a browser: read the docs and try them, watch a job, stop one, take its checkpoint home, write the next one."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.conftest import CHROMIUM, PATIENCE_MS, Window
from tests.up import LONG, SMALL, Up

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here; `apt-get install chromium` brings it"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
HOSTILE = "<img src=x onerror=document.title='owned'> & \"quotes\""
ENDS = ("/events", "/metrics?", "/result", "/files/model.safetensors")
expect.set_options(timeout=PATIENCE_MS)


def try_out(page: Page, operation: str, **parameters: str) -> dict[str, Any]:
    """Press "Try it out" and "Execute" of an operation on the docs page; the JSON that came back."""
    block = page.locator(f"[id^=operations-][id$=-{operation}]")
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    for name, value in parameters.items():
        block.locator(f"tr[data-param-name={name}] input").fill(value)
    block.get_by_role("button", name="Execute").click()
    reply = block.locator(".live-responses-table .response-col_description .highlight-code code").first
    document: dict[str, Any] = json.loads(reply.inner_text())
    return document


def epoch_of(plot: Locator) -> int:
    """The epoch that a chart has come to, as it tells those who cannot see it."""
    found = re.search(r"at epoch ([\d,]+)", plot.get_attribute("aria-label") or "")
    return int(found[1].replace(",", "")) if found else 0


def test_the_docs_page_submits_a_job_and_reads_its_result(up: Up, window: Window) -> None:
    page = window.open("/docs")
    job = try_out(page, "submit_job")
    assert job["object"] == "training.job"
    assert up.ended(job["id"])["status"] == "succeeded"
    assert try_out(page, "get_result", job_id=job["id"])["stop_reason"] == "epochs"


def test_a_job_is_found_in_the_list_and_its_curve_grows_until_it_is_cancelled(up: Up, window: Window) -> None:
    job = up.submit({**LONG, "name": HOSTILE, "metadata": {"team": "<b>x</b>"}})
    page = window.open("/")
    page.get_by_label("Status", exact=True).select_option("running")
    page.get_by_label("Search").fill("<IMG")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name=HOSTILE).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
    plot = page.get_by_role("img", name=re.compile("^Loss")).first
    expect(plot).to_have_attribute("aria-label", re.compile("training loss .* validation loss .* penalty l1 .* penalty l2"))
    seen = epoch_of(plot)
    page.wait_for_function(
        f"() => Number(document.querySelector('.plot').ariaLabel.match(/epoch ([\\d,]+)/)[1].replace(/,/g, '')) > {seen + 1}"
    )
    assert epoch_of(plot) > seen

    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="No, go back").click()
    assert up.job(job["id"])["status"] == "running"
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the job").click()
    expect(page.locator(".head .badge")).to_have_text("cancelled")
    assert up.job(job["id"])["status"] == "cancelled"
    expect(page.get_by_role("button", name="Retry")).to_be_visible()
    expect(page.get_by_role("button", name="Pause")).to_be_hidden()
    assert page.locator("main b b, main img[src=x]").count() == 0
    assert page.title().startswith(HOSTILE)


def test_a_finished_job_shows_what_it_found_and_gives_its_checkpoint(up: Up, window: Window, tmp_path: Path) -> None:
    job = up.submit(SMALL)
    up.ended(job["id"])
    page = window.open(f"/#/jobs/{job['id']}")
    expect(page.get_by_role("table", name="Confusion matrix of the test rows").get_by_role("rowheader")).to_have_count(10)
    expect(page.get_by_role("table", name="Zeros of each layer").get_by_role("rowheader")).to_have_text(["conv1", "fc1", "fc2"])
    expect(page.get_by_alt_text("The first layer's filters of the best checkpoint")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download model.safetensors").first.click()
    download.value.save_as(tmp_path / "model.safetensors")
    kept = up.http.get(f"/v1/jobs/{job['id']}/checkpoints").json()["data"][0]
    (file,) = [file for file in kept["files"] if file["name"] == "model.safetensors"]
    assert hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest() == file["sha256"]


def test_a_job_that_succeeded_is_trained_for_so_many_epochs_more(up: Up, window: Window) -> None:
    job = up.submit({**SMALL, "name": "short"})
    up.ended(job["id"])
    page = window.open(f"/#/jobs/{job['id']}")
    page.get_by_role("button", name="Extend…").click()
    page.get_by_role("button", name="No, go back").click()
    page.get_by_role("button", name="Extend…").click()
    page.get_by_label("Epochs more").fill("0")
    page.get_by_role("button", name="Extend the job").click()
    expect(page.get_by_label("Epochs more")).to_be_visible()
    page.get_by_label("Epochs more").fill("2")
    page.get_by_label("Epochs more").press("Enter")
    expect(page.locator(".head")).to_contain_text(f"extension of {job['id']}")
    (longer,) = [one for one in up.http.get("/v1/jobs").json()["data"] if (one["parent"] or {}).get("job_id") == job["id"]]
    assert longer["spec"]["epochs"] == SMALL["epochs"] + 2
    up.ended(longer["id"])


def test_a_page_that_nobody_looks_at_asks_nothing_until_it_is_seen(window: Window) -> None:
    asked: list[str] = []
    window.page.on("request", lambda request: asked.append(request.url.removeprefix(window.url)))
    window.page.clock.install()
    window.page.add_init_script("Object.defineProperty(document, 'visibilityState', { get: () => window.seen ?? 'hidden' })")
    page = window.open("/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")
    page.clock.run_for(60_000)
    assert [path for path in asked if path.startswith(("/readyz", "/v1/"))] == []
    with page.expect_request("**/readyz"), page.expect_request("**/v1/jobs?*"):
        page.evaluate("() => { window.seen = 'visible'; document.dispatchEvent(new Event('visibilitychange')); }")
    expect(page.locator("#service")).to_contain_text("ready")


def test_a_clone_is_checked_while_it_is_written_and_submitted_once(up: Up, window: Window) -> None:
    window.allowed.append("422")
    first = up.submit({**SMALL, "name": "first"})
    page = window.open(f"/#/new?from={first['id']}")
    text, verdict = page.get_by_label("Spec (JSON)"), page.locator("#verdict")
    expect(verdict).to_contain_text("This can be trained.")
    text.fill(text.input_value().replace('"adam"', '"adamm"').replace('"lambda": 0.0001', '"lambda": -1'))
    expect(verdict).to_contain_text("did you mean 'adam'")
    page.get_by_role("button", name="/penalties/0/lambda").click()
    assert (
        page.evaluate(
            "() => document.activeElement.value.slice(document.activeElement.selectionStart, document.activeElement.selectionEnd)"
        )
        == "-1"
    )
    text.fill(text.input_value().replace('"adamm"', '"adam"').replace('"lambda": -1', '"lambda": 0.001'))
    expect(verdict).to_contain_text("This can be trained.")
    page.get_by_role("button", name="Submit").dblclick()
    expect(page.get_by_role("heading", level=1)).to_have_text("first (copy)")
    copies = [job for job in up.http.get("/v1/jobs").json()["data"] if job["name"] == "first (copy)"]
    assert [job["spec"]["penalties"][0]["lambda"] for job in copies] == [0.001]

    up.ended(copies[0]["id"])
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete the job").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")
    assert up.http.get(f"/v1/jobs/{copies[0]['id']}").status_code in {404, 410}


def test_the_dashboard_can_be_used_with_the_keyboard_alone_in_both_themes(up: Up, window: Window) -> None:
    job = up.submit({**SMALL, "name": "by keyboard"})
    up.ended(job["id"])
    page = window.open("/")
    link = page.get_by_role("link", name="by keyboard")
    expect(link).to_be_visible()
    page.get_by_label("Status", exact=True).focus()
    for _ in range(30):
        page.keyboard.press("Tab")
        if link.evaluate("(element) => element === document.activeElement"):
            break
    assert link.evaluate("(element) => element === document.activeElement && getComputedStyle(element).outlineStyle !== 'none'")
    page.keyboard.press("Enter")
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text("by keyboard")
    expect(heading).to_be_focused()
    before = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Theme: auto").press("Enter")
    page.get_by_role("button", name="Theme: light").press("Enter")
    expect(page.get_by_role("button", name="Theme: dark")).to_be_focused()
    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") != before


def test_an_api_key_goes_with_everything_and_stays_in_the_tab(up: Up, window: Window, tmp_path: Path) -> None:
    window.allowed.append("401")
    job, admitted = up.submit({**SMALL, "name": "behind a door"}), []

    def door(route: Route) -> None:
        """Stands where the service would ask for a key."""
        if route.request.headers.get("authorization") == "Bearer rk_secret":
            admitted.append(route.request.url)
            route.fallback()
            return
        problem = {"status": 401, "code": "unauthenticated", "detail": "this needs an API key"}
        route.fulfill(status=401, content_type="application/problem+json", body=json.dumps(problem))

    window.page.route("**/v1/**", door)
    page = window.open(f"/#/jobs/{job['id']}")
    page.get_by_role("button", name="Enter an API key").click()
    page.get_by_label("Key", exact=True).fill("rk_secret")
    page.get_by_label("Key", exact=True).press("Enter")
    expect(page.locator(".head .badge")).to_have_text("succeeded")
    expect(page.locator("#banner")).to_be_hidden()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download model.safetensors").first.click()
    download.value.save_as(tmp_path / "model")
    whole = up.http.get(f"/v1/jobs/{job['id']}/checkpoints/last/files/model.safetensors").content
    assert (tmp_path / "model").read_bytes() == whole
    assert [end for end in ENDS if not any(end in url for url in admitted)] == []
    assert "rk_secret" not in page.evaluate("() => JSON.stringify(localStorage) + document.cookie + location.href")
    page.get_by_role("button", name="API key ✓").click()
    page.get_by_role("button", name="Forget").click()
    expect(page.get_by_role("button", name="Enter an API key")).to_be_visible()


def test_an_api_that_is_away_is_told_of_and_found_again(window: Window) -> None:
    window.allowed += ["ERR_CONNECTION_REFUSED", "net::ERR"]
    page = window.open("/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")
    page.route("**/v1/jobs?*", lambda route: route.abort("connectionrefused"))
    expect(page.get_by_role("alert").first).to_contain_text("Cannot reach the service")
    page.unroute("**/v1/jobs?*")
    expect(page.locator("#banner")).to_be_hidden()

"""A real browser on a real stack, with the network closed to anything but that stack."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright

from tests.up import Up

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE_MS: Final = 120_000


@dataclass
class Window:
    """A page, and what it did that no page of ours should."""

    page: Page
    url: str
    allowed: list[str] = field(default_factory=list)
    """Parts of console messages that a test brings about on purpose: a browser notes every reply of 4xx."""
    strayed: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        self.page.goto(f"{self.url}{path}")
        return self.page

    def guard(self, route: Route) -> None:
        if route.request.url.startswith((self.url, "data:", "blob:")):
            route.continue_()
            return
        self.strayed.append(route.request.url)
        route.abort()

    def assert_kept_the_rules(self) -> None:
        assert self.strayed == [], "it asked somebody else"
        assert [text for text in self.complaints if not any(part in text for part in self.allowed)] == []


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    made = Up(tmp_path_factory.mktemp("browser") / "data")
    yield made
    if made.process.poll() is None:
        made.stop()


# Not longer than a module: while it runs, its thread has an event loop, and no other test could have one.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Without its sandbox, which root cannot have: it opens pages of our own alone.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture
def window(chromium: Browser, up: Up, tmp_path: Path) -> Iterator[Window]:
    """A fresh window; after the test it must have asked nobody else and complained of nothing."""
    context = chromium.new_context(accept_downloads=True, viewport={"width": 1200, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    made = Window(context.new_page(), up.url)
    context.route("**/*", made.guard)
    made.page.on("console", lambda message: made.complaints.append(message.text) if message.type in {"error", "warning"} else None)
    made.page.on("pageerror", lambda error: made.complaints.append(str(error)))
    yield made
    context.close()
    made.assert_kept_the_rules()

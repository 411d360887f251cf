"""docs/http.md says what happens: its commands are run as they stand there, in their order, against a real server."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.fuzz import raw

DOCS = Path(__file__).parents[2] / "docs"
TOUR = (DOCS / "http.md").read_text("utf-8")
PROMISED = [
    "idempotency-replayed: true",
    "did you mean 'adamw'?",
    "did you mean 'lambda'?",
    "/epochs",
    "did you mean 'limit'?",
    '"object":"list"',
    "\n304\n",
    '"name":"tour"',
    '"status": 412',
    '"status":"cancelled"',
    "event: status",
    '"object":"fine_tuning.job"',
]


@pytest.mark.skipif(shutil.which("curl") is None, reason="the tour is told with curl, which this machine does not have")
def test_the_tour_of_the_http_surface_does_what_it_says(tmp_path: Path) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", TOUR, flags=re.MULTILINE | re.DOTALL)
    with raw.served(tmp_path, key=None) as port:
        lines = "echo\n".join(blocks).replace("http://127.0.0.1:8000", f"http://127.0.0.1:{port}")
        shown = subprocess.run(["bash", "-euo", "pipefail", "-c", lines], capture_output=True, text=True, timeout=120, check=False)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    for promised in PROMISED:
        assert promised in shown.stdout, f"{promised}\n{shown.stdout}"
    assert '"name":"late"' not in shown.stdout


@pytest.mark.parametrize("page", ["http.md", "operations.md"])
def test_every_page_that_is_linked_is_there(page: str) -> None:
    linked = re.findall(r"\]\(([^)#:]+)\)", (DOCS / page).read_text("utf-8"))
    assert linked
    assert [name for name in linked if not (DOCS / name).exists()] == []

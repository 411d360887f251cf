"""`python -m service.published FILE` writes the description of the API to a file, as it is kept in docs and compared by tests."""

import json
import sys
from pathlib import Path

from service.app import create_app


def text() -> str:
    """The description that /openapi.json serves, laid out so that a change of it is a short diff."""
    return json.dumps(create_app().openapi(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")

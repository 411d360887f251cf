"""The description of the API, which many tests take their cases from: made once for all of them."""

from functools import cache
from typing import Any

from service.app import create_app


@cache
def document() -> dict[str, Any]:
    """What /openapi.json serves. Not to be changed."""
    made: dict[str, Any] = create_app().openapi()
    return made

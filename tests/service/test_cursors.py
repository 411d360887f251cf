"""A cursor means the page that it was given out for, or it is refused; nothing else that is sent as one means anything."""

import base64
import json
from typing import Any

import pytest

from contract.errors import BadCursorError
from service import cursors, pages

ID = f"job_{'0' * 26}"


def packed(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize("place", [[ID], [0, ID], [-(2**53), ID], ["?>~\u00fc"]], ids=str)
def test_a_cursor_is_read_as_it_was_written_under_its_own_filters_alone(place: list[Any]) -> None:
    cursor = cursors.encode(place, ["a", None])
    assert cursors.decode(cursor, ["a", None], list) == place
    assert cursor.isascii()
    assert not set(cursor) & set("+/=&?#% ")
    for others in ([None, "a"], ["a"], ["a", None, None], "a"):
        with pytest.raises(BadCursorError, match="other filters"):
            cursors.decode(cursor, others, list)


FORGED = {
    "nothing": "",
    "no list": packed({"a": 1}),
    "a number": packed(7),
    "a text": packed(ID),
    "an empty list": packed([]),
    "no JSON": base64.urlsafe_b64encode(b"[1, 2").decode(),
    "no text": base64.urlsafe_b64encode(b"\xff\xfe\xfd").decode(),
    "letters that are none of base64": packed([ID, "x"])[:8] + "!" + packed([ID, "x"])[8:],
    "the other alphabet": "+/+/",
    "a blank before it": " " + packed([ID, "x"]),
    "another script": "\u00e9",
    "five letters": "abcde",
    "too long": packed([ID * 1000]),
}


@pytest.mark.parametrize("cursor", FORGED.values(), ids=FORGED.keys())
def test_what_no_list_gave_out_is_refused(cursor: str) -> None:
    with pytest.raises(BadCursorError, match="no list gave out"):
        cursors.decode(cursor, [], list)


def test_a_nest_of_lists_is_refused_however_deep_the_service_stands() -> None:
    nest = base64.urlsafe_b64encode(b"[" * 380 + b"]" * 380).decode()

    def below(depth: int) -> Any:
        return below(depth - 1) if depth else cursors.decode(nest, [], lambda _: None)

    for depth in (0, 500, 650):
        with pytest.raises(BadCursorError):
            below(depth)


@pytest.mark.parametrize("place", [[], [ID, ID], [7], ["' OR 1=1"], [ID + "0"], [ID.upper()], [None]], ids=str)
def test_a_page_of_things_with_ids_begins_at_an_id_alone(place: list[Any]) -> None:
    with pytest.raises(BadCursorError):
        pages.decode(cursors.encode(place, []), [])
    assert (pages.decode(cursors.encode([ID], []), []), pages.decode(None, [])) == (ID, None)
